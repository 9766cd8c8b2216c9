"""What a back end keeps: flat records of text, integers and times, and how they become values.

JSON stands in them as text that the codec wrote. A back end stores the fields as they are and
never looks inside.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import product
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

from pydantic import BaseModel, ValidationError

from session_store.core import codec
from session_store.errors import CorruptStoreError
from session_store.session import (
    Applied,
    Documents,
    Entry,
    Session,
    SessionHead,
    SessionKey,
    Status,
    Value,
)


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


class StoredVersion(NamedTuple):
    """Tells one state of a stored session from any other, and whether it is expired, without its
    content."""

    key: SessionKey
    version: int
    last_seq: int
    created_at: datetime
    updated_at: datetime
    expires_at: datetime | None

    @classmethod
    def of(cls, record: SessionRecord) -> StoredVersion:
        return cls(
            record.key,
            record.version,
            record.last_seq,
            record.created_at,
            record.updated_at,
            record.expires_at,
        )


TIMES: Final = ("created_at", "updated_at", "completed_at", "expires_at")
"""The fields of a ``SessionRecord`` that are times, or may be."""

MAX_VERSION: Final = 2**62
"""No version is that great, so that adding to one stays within 64 bits."""


class EntryRecord(NamedTuple):
    """One entry; the meaning of each field is ``Entry``'s."""

    seq: int
    entry_id: str
    kind: str
    payload: str
    created_at: datetime
    version: int


EntryFields: TypeAlias = tuple[int, str, str, str, datetime, int]
"""What an ``EntryRecord`` holds, in its order. Of a long history, to make a plain tuple each takes
half as long."""


def to_entries(records: Iterable[EntryFields]) -> tuple[Entry, ...]:
    """All of them, in one loop: to call one more function for each takes a sixth more of a load's
    time."""
    entries, names, new, parsed = [], _ALL_FIELDS[Entry], object.__new__, codec.parsed
    for record in records:
        seq, entry_id, kind, text, created_at, version = record
        if not (
            type(seq) is type(version) is int
            and type(entry_id) is type(kind) is str
            and type(created_at) is datetime
        ):
            entries.append(_checked_entry(record))
            continue
        try:
            payload = parsed(text)
        except ValueError:
            payload = codec.decode(text, f"entry {seq}")  # which says what is wrong
        entry = new(Entry)
        fields = {
            "seq": seq,
            "entry_id": entry_id,
            "kind": kind,
            "payload": payload,
            "created_at": created_at,
            "version": version,
        }
        _set_fields(entry, fields)
        _set_fields_set(entry, names)
        _set_extra(entry, None)
        _set_private(entry, None)
        entries.append(entry)
    return tuple(entries)


def to_head(record: SessionRecord) -> SessionHead:
    return _head(SessionHead, record, {})


def to_session(record: SessionRecord, entries: Iterable[EntryFields]) -> Session:
    return _head(Session, record, {"entries": to_entries(entries)})


def to_applied(
    key: SessionKey,
    status: str,
    version: int,
    updated_at: datetime,
    entries: Sequence[EntryFields] = (),
) -> Applied:
    fields = {
        "key": key,
        "status": Status(status),
        "version": version,
        "updated_at": updated_at,
        "entries": to_entries(entries),
    }
    return built(Applied, fields)


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


def checked_entry(record: EntryFields) -> EntryRecord:
    """The record of an entry from anywhere, like ``to_entry_record`` of its value, which is half
    of the way there."""
    seq, entry_id, kind, payload, created_at, version = record
    if type(seq) is not int or type(version) is not int:
        raise CorruptStoreError(f"entry {seq!r} has a seq or version that is no integer")
    place = f"entries[{seq}]"
    return EntryRecord(
        seq,
        codec.identifier(entry_id, place),
        codec.identifier(kind, place, codec.MAX_KIND_BYTES),
        codec.encode(codec.decode(payload, place), place),
        codec.utc(created_at, place),
        version,
    )


_STATUSES = {status.value: status for status in Status}
_ALWAYS = (dict, dict, dict, str, str, str, Status, int, int, datetime, datetime)
_HEAD_TYPES = {(*_ALWAYS, *ends) for ends in product((datetime, type(None)), repeat=2)}

_Model = TypeVar("_Model", bound=Value)
_Head = TypeVar("_Head", bound=SessionHead)
_ALL_FIELDS: dict[type[Value], set[str]] = {
    model: set(model.model_fields) for model in (Documents, Entry, SessionHead, Session, Applied)
}
_set_fields, _set_fields_set, _set_extra, _set_private = (
    inspect.getattr_static(BaseModel, name).__set__ for name in BaseModel.__slots__
)
"""The slots in which pydantic keeps a value: those of a frozen one can't be set by their names."""


def checked_key(key: SessionKey) -> SessionKey:
    app_name, user_id, session_id = key
    return SessionKey(
        codec.identifier(app_name, "app_name"),
        codec.identifier(user_id, "user_id"),
        codec.identifier(session_id, "session_id"),
    )


def _head(model: type[_Head], record: SessionRecord, more: dict[str, Any]) -> _Head:
    fields = _head_fields(record)
    is_right = _is_right(fields)
    fields.update(more)
    return built(model, fields) if is_right else _checked(model, record.key, fields)


def _head_fields(record: SessionRecord) -> dict[str, Any]:
    try:
        return {
            "state": codec.parsed(record.state),
            "agent_states": codec.parsed(record.agent_states),
            "metadata": codec.parsed(record.metadata),
            "app_name": record.app_name,
            "user_id": record.user_id,
            "session_id": record.session_id,
            "status": _STATUSES.get(record.status, record.status),
            "version": record.version,
            "last_seq": record.last_seq,
            "created_at": record.created_at,
            "updated_at": record.updated_at,
            "completed_at": record.completed_at,
            "expires_at": record.expires_at,
        }
    except ValueError:
        _check_documents(record)
        raise


def _check_documents(record: SessionRecord) -> None:
    """``CorruptStoreError`` says which one is no JSON."""
    for name in Documents.model_fields:
        codec.decode(getattr(record, name), f"session {record.key}: {name}")


def _is_right(fields: dict[str, Any]) -> bool:
    """Whether there is no need to look closer."""
    agents = fields["agent_states"]
    return tuple(map(type, fields.values())) in _HEAD_TYPES and (
        not agents or {*map(type, agents.values())} == {dict}
    )


def built(model: type[_Model], fields: dict[str, Any]) -> _Model:
    """Of all fields, in their order, what pydantic makes once it has checked them: nothing is.

    ``to_entries``, which decodes and looks at types too, takes as long as pydantic's check alone,
    and ``model_construct`` 2.7 times as long (``benchmarks/values.py``).
    """
    value = object.__new__(model)
    _set_fields(value, fields)
    _set_fields_set(value, _ALL_FIELDS[model])
    _set_extra(value, None)
    _set_private(value, None)
    return value


def _checked_entry(record: EntryFields) -> Entry:
    fields = EntryRecord(*record)._asdict()
    place = f"entry {fields['seq']}"
    return _checked(Entry, place, fields | {"payload": codec.decode(fields["payload"], place)})


def _checked(model: type[_Model], place: object, fields: dict[str, Any]) -> _Model:
    """Where a type is not the usual one, pydantic says whether it will do."""
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        problems = ", ".join(".".join(map(str, problem["loc"])) for problem in error.errors())
        raise CorruptStoreError(f"{place} holds wrong values in: {problems}") from None
