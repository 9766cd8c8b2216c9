"""The statistics that a web application shows: counts and a place, of no session, and nothing else.

What an answer reads is counted: a clock would say how busy the machine is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from session_store import PersistentSessionService, SessionService
from session_store.backends.sql.runner import Rows
from session_store.core import codec
from session_store.session import SessionKey
from session_store.testing.given import creation, listed, load
from tests.backends.counted import Database, File
from tests.faults.frame import Outcomes, check
from tests.faults.place import Place
from tests.web.support import running

MOST = 3
"""Rows of counts that an answer may take, and documents that it may decode."""
BATCH = 10_000
USER = "by hand"
SHOWN = {"storage_type", "storage_path", "expiration_policy"}
"""The texts in an answer; all else is numbers and truths."""


@contextmanager
def a_session_is_named() -> Iterator[None]:
    """The newest, with the place."""
    stats = SessionService.get_storage_stats

    def named(service: SessionService) -> dict[str, Any]:
        newest = service.list_sessions(limit=1).sessions[0]
        return stats(service) | {"storage_path": f"{newest.key}"}

    with patch.object(SessionService, "get_storage_stats", named):
        yield


@contextmanager
def every_session_is_read() -> Iterator[None]:
    stats = SessionService.get_storage_stats

    def read(service: SessionService) -> dict[str, Any]:
        for head in listed(service.repository, limit=1000):
            load(service.repository, head.key)
        return stats(service)

    with patch.object(SessionService, "get_storage_stats", read):
        yield


@check(
    "C11",
    "the stats endpoint shows no ids, no other path and no secret, and reads no session",
    stores=["file", "sqlite", "postgresql"],
    trials=(2000, 100_000),
    broken=[a_session_is_named, every_session_is_read],
    broken_trials=8000,
)
def statistics(place: Place, trials: int) -> Outcomes:
    """One trial is one session that is stored, of which any might be shown."""
    _fill(place, trials)
    with _service(place) as service, running(service) as client:
        with _counting() as read:
            answer = client.get("/sessions/storage/stats")
        yield None if len(read) <= MOST else f"it read {len(read)} rows and documents"
        found = answer.json()
        yield None if found["total_sessions"] == trials else f"it counts {found['total_sessions']}"
        texts = {name for name, value in found.items() if isinstance(value, str)}
        secrets = [place.servers.postgres.password] if place.store == "postgresql" else []
        is_silent = texts <= SHOWN and not any(one in answer.text for one in (USER, *secrets))
        path = found["storage_path"] == service.storage.path
        yield from [None if is_silent and path else f"it says {answer.text}"] * (trials - 1)


@contextmanager
def _counting() -> Iterator[list[object]]:
    """What comes out of a database, and what is decoded, in any thread."""
    read: list[object] = []
    rows, decode = Rows.all, codec.decode

    def counted_rows(these: Rows) -> list[tuple[Any, ...]]:
        found = rows(these)
        read.extend(found)
        return found

    def counted_text(text: str | bytes, place: str) -> Any:
        read.append(place)
        return decode(text, place)

    with ExitStack() as patches:
        patches.enter_context(patch.object(Rows, "all", counted_rows))
        patches.enter_context(patch.object(codec, "decode", counted_text))
        yield read


def _service(place: Place) -> SessionService:
    options: dict[str, Any] = {"expiration_hours": None, "cleanup_interval": None}
    if place.store == "postgresql":
        return PersistentSessionService(storage_url=place.url, **options)
    path = place.directory if place.store == "file" else place.database
    return PersistentSessionService(place.store, path, **options)


def _fill(place: Place, number: int) -> None:
    with place.open() as store:
        if place.store == "file":
            for start in range(0, number, BATCH):
                names = range(start, min(start + BATCH, number))
                store.commit([creation(SessionKey("app", USER, f"s{n}")) for n in names])
            return
    by_hand = Database(place.url) if place.store == "postgresql" else File(place.database)
    by_hand.run(by_hand.insert(1, number, "running"))
