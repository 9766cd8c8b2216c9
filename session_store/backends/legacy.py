"""Sessions that the program before this package stored: one decoded session to our records.

That program kept one flat object a session, in ``sessions.json`` as in the ``sessions`` table of
its ``sessions.db``: ``state`` (our status), ``agent_states``, ``artifacts``, ``checkpoints``,
``metadata`` and naive times, which are UTC. Each checkpoint held the whole session of its moment
as JSON text, with all checkpoints before it inside; here a checkpoint holds none.
Pure functions; files and tables are left to the back ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any, Final, NamedTuple

from session_store.core import codec
from session_store.core.records import EntryRecord, SessionRecord
from session_store.errors import CorruptStoreError, InvalidValueError
from session_store.session import ARTIFACT, CHECKPOINT, DEFAULT_APP_NAME, Status

EXTRA_FIELDS: Final = "legacy_fields"
"""The key of ``metadata`` that keeps what the older session had and ours has no place for."""

FIELDS: Final = frozenset(
    {
        "session_id",
        "user_id",
        "state",
        "agent_states",
        "artifacts",
        "checkpoints",
        "metadata",
        "created_at",
        "updated_at",
        "completed_at",
    }
)


def converted(session: Mapping[str, Any]) -> tuple[SessionRecord, tuple[EntryRecord, ...]]:
    """The records of one older session, whose JSON columns are decoded already.

    Artifacts and checkpoints become one history in the order in which they were made.
    ``CorruptStoreError`` names the session and the field that can't be read; none is skipped.
    """
    if not isinstance(session, Mapping):
        raise CorruptStoreError("a session of the older format is no JSON object")
    try:
        entries = tuple(_entries(session))
        return _record(session, len(entries)), entries
    except (InvalidValueError, CorruptStoreError) as error:
        name = session.get("session_id")
        raise CorruptStoreError(f"session {name!r} of the older format: {error}") from None


class _Checkpoint(NamedTuple):
    """``place``: how many of the session's artifacts stand before it. ``lost``: artifacts that
    only its snapshot still has."""

    checkpoint_id: str
    created_at: datetime
    snapshot: Mapping[str, Any]
    place: int
    lost: list[Any]


def _record(session: Mapping[str, Any], last_seq: int) -> SessionRecord:
    completed = session.get("completed_at")
    return SessionRecord(
        app_name=DEFAULT_APP_NAME,
        user_id=codec.identifier(session.get("user_id"), "user_id"),
        session_id=codec.identifier(session.get("session_id"), "session_id"),
        status=_status(session),
        version=1,
        last_seq=last_seq,
        created_at=_time(session.get("created_at"), "created_at"),
        updated_at=_time(session.get("updated_at"), "updated_at"),
        completed_at=_time(completed, "completed_at") if completed else None,
        expires_at=None,
        state="{}",
        agent_states=codec.encode_document(_agent_states(session), "agent_states"),
        metadata=codec.encode_document(_metadata(session, {}), "metadata"),
    )


def _entries(session: Mapping[str, Any]) -> Iterator[EntryRecord]:
    """Artifacts in the order of their list, which outlives a clock that was set back; a checkpoint
    stands right after the last artifact that its snapshot holds."""
    artifacts = [_artifact(one, n) for n, one in enumerate(_list(session, "artifacts"))]
    taken = {entry.entry_id for entry in artifacts}
    placed: list[tuple[int, int, EntryRecord | _Checkpoint]] = [
        *((n, 0, artifact) for n, artifact in enumerate(artifacts, 1)),
        *((checkpoint.place, 1, checkpoint) for checkpoint in _checkpoints(session)),
    ]
    for seq, (_, _, one) in enumerate(sorted(placed, key=itemgetter(0, 1)), 1):
        if isinstance(one, EntryRecord):
            yield one._replace(seq=seq)
        else:
            yield _checkpoint_entry(one, seq, taken)


def _artifact(artifact: Any, index: int) -> EntryRecord:
    place = f"artifacts[{index}]"
    if not isinstance(artifact, Mapping) or not artifact.keys() >= {"type", "payload"}:
        raise InvalidValueError(place, "must be an object with type, payload and timestamp")
    payload = {key: value for key, value in artifact.items() if key != "timestamp"}
    return EntryRecord(
        seq=0,
        entry_id=f"artifact-{index + 1}",
        kind=ARTIFACT,
        payload=codec.encode(payload, place),
        created_at=_time(artifact.get("timestamp"), f"{place}.timestamp"),
        version=1,
    )


def _checkpoint_entry(checkpoint: _Checkpoint, seq: int, taken: set[str]) -> EntryRecord:
    snapshot, extra = checkpoint.snapshot, {"artifacts": checkpoint.lost} if checkpoint.lost else {}
    payload = {
        "status": _status(snapshot),
        "seq": seq,
        "label": None,
        "state": {},
        "agent_states": _agent_states(snapshot),
        "metadata": _metadata(snapshot, extra),
    }
    return EntryRecord(
        seq=seq,
        entry_id=_unique(checkpoint.checkpoint_id, taken),
        kind=CHECKPOINT,
        payload=codec.encode(payload, f"checkpoint {checkpoint.checkpoint_id!r}"),
        created_at=checkpoint.created_at,
        version=1,
    )


def _checkpoints(session: Mapping[str, Any]) -> Iterator[_Checkpoint]:
    """Each checkpoint once, the older first: those of the session and those nested in them."""
    places = {_text(one): n for n, one in enumerate(_list(session, "artifacts"), 1)}
    seen: set[tuple[Any, Any]] = set()
    yield from _unseen(_list(session, "checkpoints"), places, seen)


def _unseen(
    checkpoints: Iterable[Any], places: Mapping[str, int], seen: set[tuple[Any, Any]]
) -> Iterator[_Checkpoint]:
    """What was seen is not opened again: n nested checkpoints are 2**n snapshots."""
    for one in checkpoints:
        if not isinstance(one, Mapping):
            raise InvalidValueError("checkpoints", "must be JSON objects")
        identity = str(one.get("checkpoint_id")), str(one.get("timestamp"))
        if identity in seen:
            continue
        seen.add(identity)
        checkpoint = _opened(one, places)
        yield from _unseen(_list(checkpoint.snapshot, "checkpoints"), places, seen)
        yield checkpoint


def _opened(checkpoint: Mapping[str, Any], places: Mapping[str, int]) -> _Checkpoint:
    name = codec.identifier(checkpoint.get("checkpoint_id"), "checkpoint_id")
    time = _time(checkpoint.get("timestamp"), f"timestamp of checkpoint {name!r}")
    snapshot = _snapshot(checkpoint.get("state_snapshot"), f"state_snapshot of {name!r}")
    held = {_text(one): one for one in _list(snapshot, "artifacts")}
    place = max((places.get(text, 0) for text in held), default=0)
    lost = [one for text, one in held.items() if text not in places]
    return _Checkpoint(name, time, snapshot, place, lost)


def _snapshot(text: Any, place: str) -> Mapping[str, Any]:
    snapshot = codec.decode(text, place) if isinstance(text, str) else None
    if not isinstance(snapshot, dict):
        raise InvalidValueError(place, "must be the JSON text of a session")
    return snapshot


def _unique(entry_id: str, taken: set[str]) -> str:
    """``entry_id``, numbered where a restored session had given the same id twice."""
    name, number = entry_id, 1
    while name in taken:
        number += 1
        name = f"{entry_id}-{number}"
    taken.add(name)
    return name


def _status(session: Mapping[str, Any]) -> str:
    try:
        return Status(str(session.get("state"))).value
    except ValueError:
        raise InvalidValueError("state", f"must be of: {', '.join(Status)}") from None


def _agent_states(session: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Our agents' states are objects; another value becomes one with the key ``value``."""
    states = _mapping(session, "agent_states")
    return {
        name: state if isinstance(state, dict) else {"value": state}
        for name, state in states.items()
    }


def _metadata(session: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    metadata = _mapping(session, "metadata")
    unknown = {key: value for key, value in session.items() if key not in FIELDS} | dict(extra)
    if not unknown:
        return metadata
    return metadata | {_unique(EXTRA_FIELDS, set(metadata)): unknown}


def _mapping(session: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = session.get(name)
    if value is not None and not isinstance(value, dict):
        raise InvalidValueError(name, f"must be a JSON object, not {type(value).__name__}")
    return value or {}


def _list(session: Mapping[str, Any], name: str) -> Sequence[Any]:
    value = session.get(name)
    if value is not None and not isinstance(value, list):
        raise InvalidValueError(name, f"must be a JSON array, not {type(value).__name__}")
    return value or []


def _text(artifact: Any) -> str:
    return codec.encode(artifact, "artifacts")


def _time(text: Any, place: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        raise InvalidValueError(place, "must be an ISO 8601 time") from None
