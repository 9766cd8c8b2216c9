"""What applications call: sessions over any repository, with clock, expiry, cleanup and metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from session_store.service.opening import InMemorySessionService, PersistentSessionService
from session_store.service.service import SessionService

if TYPE_CHECKING:
    from session_store.service.aio import AsyncSessionService

__all__ = [
    "AsyncSessionService",
    "InMemorySessionService",
    "PersistentSessionService",
    "SessionService",
]


def __getattr__(name: str) -> Any:
    """``AsyncSessionService`` is imported when it is first used: it needs anyio."""
    if name != "AsyncSessionService":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from session_store.service.aio import AsyncSessionService

    return AsyncSessionService
