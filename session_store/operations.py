"""The former name of ``session_store.core.operations``; back ends elsewhere import it."""

from session_store.core.operations import *  # noqa: F403 - all that is public there
