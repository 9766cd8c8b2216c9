"""What a back end keeps: flat records of text, integers and times, and how they become values.

JSON stands in them as text that the codec wrote. A back end stores the fields as they are and
never looks inside.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

from pydantic import ValidationError

from session_store import codec
from session_store.errors import CorruptStoreError
from session_store.session import Documents, Entry, Session, SessionHead, SessionKey, Value


class SessionRecord(NamedTuple):
    """One session without its history; the meaning of each field is ``SessionHead``'s."""

    app_name: str
    user_id: str
    session_id: str
    status: str
    version: int
    last_seq: int
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None
    expires_at: datetime | None
    state: str
    agent_states: str
    metadata: str

    @property
    def key(self) -> SessionKey:
        return SessionKey(self.app_name, self.user_id, self.session_id)


class EntryRecord(NamedTuple):
    """One entry; the meaning of each field is ``Entry``'s."""

    seq: int
    entry_id: str
    kind: str
    payload: str
    created_at: datetime
    version: int


def to_entry(record: EntryRecord) -> Entry:
    place = f"entry {record.seq}"
    fields = record._asdict() | {"payload": codec.decode(record.payload, place)}
    return _read(Entry, place, **fields)


def to_head(record: SessionRecord) -> SessionHead:
    return _read(SessionHead, record.key, **_fields(record))


def to_session(record: SessionRecord, entries: Iterable[EntryRecord]) -> Session:
    history = tuple(map(to_entry, entries))
    return _read(Session, record.key, **_fields(record), entries=history)


def to_record(session: SessionHead) -> SessionRecord:
    """The record of a session; ``InvalidValueError`` where no back end could keep it."""
    return SessionRecord(
        *checked_key(session.key),
        status=session.status.value,
        version=session.version,
        last_seq=session.last_seq,
        created_at=codec.utc(session.created_at, "created_at"),
        updated_at=codec.utc(session.updated_at, "updated_at"),
        completed_at=session.completed_at and codec.utc(session.completed_at, "completed_at"),
        expires_at=session.expires_at and codec.utc(session.expires_at, "expires_at"),
        state=codec.encode_document(session.state, "state"),
        agent_states=codec.encode_agents(session.agent_states, "agent_states"),
        metadata=codec.encode_document(session.metadata, "metadata"),
    )


def to_entry_record(entry: Entry) -> EntryRecord:
    """The record of an entry; ``InvalidValueError`` where no back end could keep it."""
    place = f"entries[{entry.seq}]"
    return EntryRecord(
        seq=entry.seq,
        entry_id=codec.identifier(entry.entry_id, f"{place}.entry_id"),
        kind=codec.identifier(entry.kind, f"{place}.kind", codec.MAX_KIND_BYTES),
        payload=codec.encode(entry.payload, f"{place}.payload"),
        created_at=codec.utc(entry.created_at, f"{place}.created_at"),
        version=entry.version,
    )


def checked_key(key: SessionKey) -> SessionKey:
    return SessionKey(*(codec.identifier(part, name) for name, part in zip(_KEY, key, strict=True)))


_KEY = SessionKey._fields
_Model = TypeVar("_Model", bound=Value)


def _read(model: type[_Model], place: object, **fields: object) -> _Model:
    try:
        return model(**fields)
    except ValidationError as error:
        problems = ", ".join(".".join(map(str, problem["loc"])) for problem in error.errors())
        raise CorruptStoreError(f"{place} holds wrong values in: {problems}") from None


def _fields(record: SessionRecord) -> dict[str, Any]:
    return record._asdict() | {
        name: codec.decode(getattr(record, name), f"{name} of session {record.key}")
        for name in Documents.model_fields
    }
