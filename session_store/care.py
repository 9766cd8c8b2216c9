"""The former name of ``session_store.maintenance``."""

from session_store.maintenance import *  # noqa: F403 - all that is public there
