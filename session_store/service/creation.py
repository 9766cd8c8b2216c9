"""New sessions, entries and checkpoints, made from what a caller gives; an id that is not given is
made too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeAlias

from session_store.core import codec
from session_store.core.checkpoints import checkpoint_of, documents_of, restored
from session_store.core.ids import new_id
from session_store.core.records import built
from session_store.errors import InvalidValueError
from session_store.session import Entry, NewCheckpoint, NewEntry, Session, SessionKey, Status

NewEntries: TypeAlias = Any
"""A JSON payload, a ``NewEntry``, or a list of these: one batch."""


def new_session(
    key: SessionKey,
    now: datetime,
    state: dict[str, Any] | None,
    metadata: dict[str, Any] | None,
    *,
    expires_at: datetime | None,
) -> Session:
    """One without a history. ``InvalidValueError`` names what can't be stored."""
    fields = {
        "state": {} if state is None else state,
        "agent_states": {},
        "metadata": {} if metadata is None else metadata,
        "expires_at": None if expires_at is None else codec.utc(expires_at, "expires_at"),
    }
    return _session(key, now, Status.CREATED, fields)


def fork_of(
    source: Session, key: SessionKey, now: datetime, checkpoint_id: str | None = None
) -> Session:
    """A copy of a session, or of it up to a checkpoint. ``CheckpointNotFoundError``."""
    if checkpoint_id is None:
        return _session(key, now, source.status, documents_of(source), source.entries)
    checkpoint = checkpoint_of(source, checkpoint_id)
    then, history = restored(checkpoint), source.entries[: checkpoint.seq]
    return _session(key, now, then.status, documents_of(then.documents), history)


def _session(
    key: SessionKey,
    now: datetime,
    status: Status,
    fields: Mapping[str, Any],
    entries: tuple[Entry, ...] = (),
) -> Session:
    """Its version is 1, and that of all its entries."""
    return built(
        Session,
        {
            "expires_at": None,
            **fields,
            **key._asdict(),
            "status": status,
            "version": 1,
            "last_seq": len(entries),
            "created_at": now,
            "updated_at": now,
            "completed_at": now if status is Status.COMPLETED else None,
            "entries": tuple(entry.model_copy(update={"version": 1}) for entry in entries),
        },
    )


def new_entries(entries: NewEntries, kind: str, entry_id: str | None) -> tuple[NewEntry, ...]:
    """One, or a batch. ``InvalidValueError`` for an empty one, or an id for several."""
    if not isinstance(entries, (list, tuple)):
        return (_new_entry(entries, kind, entry_id),)
    if not entries:
        raise InvalidValueError("entries", "must not be empty; touch_session() only marks as used")
    if entry_id is not None and len(entries) > 1:
        raise InvalidValueError("entry_id", "is for one entry; give each of a batch its own")
    return tuple(_new_entry(entry, kind, entry_id) for entry in entries)


def new_checkpoint(checkpoint_id: str | None, label: str | None) -> NewCheckpoint:
    return NewCheckpoint(checkpoint_id=id_or_new(checkpoint_id), label=label)


def id_or_new(identifier: str | None) -> str:
    return new_id() if identifier is None else identifier


def _new_entry(entry: Any, kind: str, entry_id: str | None) -> NewEntry:
    if not isinstance(entry, NewEntry):
        return NewEntry(payload=entry, kind=kind, entry_id=id_or_new(entry_id))
    return replace(entry, entry_id=id_or_new(entry.entry_id if entry_id is None else entry_id))
