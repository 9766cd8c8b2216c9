"""Every limit: what is at it is kept, what is one past it is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple
from unittest.mock import patch

from session_store.core import codec, operations
from session_store.core.operations import MAX_ENTRIES_PER_CALL
from session_store.core.queries import MAX_PAGE, Query, Window
from session_store.repository import SessionRepository
from session_store.session import NewCheckpoint, NewEntry, SessionKey
from session_store.testing.given import (
    BEGINNING,
    KEY,
    at,
    change,
    contents,
    create,
    listed,
    message,
)
from session_store.testing.limits import sized
from session_store.testing.oddities import nested
from tests.faults.frame import EVERY, Outcomes, check
from tests.faults.place import Place
from tests.faults.together import refusal

SIZES: Final = ("DEPTH", "PAYLOAD_BYTES", "DOCUMENT_BYTES", "KIND_BYTES", "LABEL_BYTES")


@contextmanager
def limits_moved(by: int) -> Iterator[None]:
    moved = {f"MAX_{name}": getattr(codec, f"MAX_{name}") + by for name in SIZES}
    entries = patch.object(operations, "MAX_ENTRIES_PER_CALL", MAX_ENTRIES_PER_CALL + by)
    ids = patch.object(codec.identifier, "__defaults__", (codec.MAX_ID_BYTES + by,))
    with patch.multiple(codec, **moved), entries, ids:
        yield


def limits_one_higher() -> Any:
    return limits_moved(1)


def limits_one_lower() -> Any:
    return limits_moved(-1)


class Limit(NamedTuple):
    """``use`` does something with what has a size; ``at`` is the greatest that it may have."""

    use: Callable[[SessionRepository, int], object]
    at: int


def _changing(at: int, changes: Callable[[int], dict[str, Any]]) -> Limit:
    return Limit(lambda store, size: change(store, **changes(size)), at)


def _identity(part: str) -> Limit:
    """In letters of two bytes, as far as they go."""

    def use(store: SessionRepository, size: int) -> object:
        return create(store, KEY._replace(**{part: "é" * (size // 2) + "x" * (size % 2)}))

    return Limit(use, codec.MAX_ID_BYTES)


def _document(name: str) -> Limit:
    return _changing(codec.MAX_DOCUMENT_BYTES, lambda size: {name: sized(size, document=True)})


def _entry(at: int, fields: Callable[[int], dict[str, Any]]) -> Limit:
    whole: dict[str, Any] = {"payload": 1, "entry_id": "e"}
    return _changing(at, lambda size: {"entries": [NewEntry(**whole | fields(size))]})


def _checkpoint(at: int, fields: Callable[[int], dict[str, Any]]) -> Limit:
    whole: dict[str, Any] = {"checkpoint_id": "c"}
    return _changing(at, lambda size: {"checkpoint": NewCheckpoint(**whole | fields(size))})


LIMITS: Final[dict[str, Limit]] = {
    **{part: _identity(part) for part in SessionKey._fields},
    **{name: _document(name) for name in ("state", "metadata")},
    "depth of a state": _changing(codec.MAX_DEPTH - 3, lambda n: {"state": {"a": nested(n)}}),
    "agent": _changing(codec.MAX_ID_BYTES, lambda n: {"agent_states": {"x" * n: {"a": 1}}}),
    "payload": _entry(codec.MAX_PAYLOAD_BYTES, lambda n: {"payload": sized(n)}),
    "depth of a payload": _entry(codec.MAX_DEPTH, lambda n: {"payload": nested(n)}),
    "integer": _entry(2**63 - 1, lambda n: {"payload": n}),
    "entry_id": _entry(codec.MAX_ID_BYTES, lambda n: {"entry_id": "x" * n}),
    "kind": _entry(codec.MAX_KIND_BYTES, lambda n: {"kind": "x" * n}),
    "checkpoint_id": _checkpoint(codec.MAX_ID_BYTES, lambda n: {"checkpoint_id": "x" * n}),
    "label": _checkpoint(codec.MAX_LABEL_BYTES, lambda n: {"label": "x" * (n - 2)}),
    "entries of a call": _changing(
        MAX_ENTRIES_PER_CALL, lambda n: {"entries": [message(f"{i}") for i in range(n)]}
    ),
    "page": Limit(lambda store, n: store.list(Query(limit=n), BEGINNING), MAX_PAGE),
    "after": Limit(lambda store, n: store.load(KEY, at(), Window(after=n)), 2**63 - 1),
    "last": Limit(lambda store, n: store.load(KEY, at(), Window(last=n)), 2**63 - 1),
    "asked for": Limit(
        lambda store, n: store.list(Query(user_id="x" * n), BEGINNING), codec.MAX_ID_BYTES
    ),
    **{name: _document(name) for name in ("app_state", "user_state")},  # these stay
}


@check(
    "C10",
    "what is at a limit works, and what is one past it is refused before anything is written",
    stores=["memory", "file", "sqlite", "postgresql"],
    trials=(EVERY, EVERY),
    broken=[limits_one_higher, limits_one_lower],
)
def limits(place: Place, trials: int) -> Outcomes:
    with place.open() as store:
        for name, limit in LIMITS.items():
            yield _wrong(store, name, limit)
            for head in listed(store):
                store.delete(head.key, BEGINNING)


def _wrong(store: SessionRepository, name: str, limit: Limit) -> str | None:
    """What is wrong on either side of the limit."""
    create(store)
    before = contents(store)
    past = refusal(lambda: limit.use(store, limit.at + 1))
    if past not in ("InvalidValueError", "TooLargeError") or contents(store) != before:
        return f"{name}: one past the limit is {past or 'accepted'}, or something is written"
    reached = refusal(lambda: limit.use(store, limit.at))
    return f"{name}: at the limit it is {reached}" if reached else None
