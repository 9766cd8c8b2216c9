"""What applications call: sessions over any repository, with clock, expiry, cleanup and metrics."""

from __future__ import annotations

from session_store.service.service import (
    InMemorySessionService,
    PersistentSessionService,
    SessionService,
)

__all__ = ["InMemorySessionService", "PersistentSessionService", "SessionService"]
