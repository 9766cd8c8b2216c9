"""Session ids in paths: which of them a URL can hold.

``{session_id:path}``: an id may hold "/", percent-encoded or not, because no method has both
``/{session_id}`` and ``/{session_id}/something``: where a path ends so, it is what was meant.
"""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

from fastapi import Path

HEALTH: Final = "health"
STATS: Final = "storage/stats"
ALL: Final = "storage/sessions"

RESERVED: Final = frozenset((HEALTH, STATS, ALL))
"""Paths of routes with the method of ``GET /sessions/{session_id}``."""

SessionId: TypeAlias = Annotated[
    str, Path(description="The id of the session, percent-encoded", examples=["interview-1"])
]


def reachable(session_id: str) -> str:
    """``session_id``, if requests can name it; ``ValueError`` says why not."""
    if session_id in RESERVED:
        raise ValueError("is the path of another route; choose another session_id")
    if {"", ".", ".."}.intersection(session_id.split("/")):
        raise ValueError(
            "has a part between slashes that is empty, '.' or '..', which clients and proxies "
            "resolve; choose another session_id"
        )
    return session_id
