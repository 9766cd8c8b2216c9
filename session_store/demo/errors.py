"""The one error of the demo."""

from session_store.errors import SessionStoreError


class DemoError(SessionStoreError):
    """Something that the demo claims, or needs, turned out not to be so."""
