"""The former name of ``session_store.core.decisions``; back ends elsewhere import it."""

from session_store.core.decisions import *  # noqa: F403 - all that is public there
