"""What a write means, decided once for all back ends: pure functions over records.

A back end reads the session's record and the entries that the operation names, asks ``decide``,
and stores the ``Decision``, all in one transaction. Missing, expired, stale, repeated, conflicting
and illegal writes are told apart here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias

from session_store.core import codec
from session_store.core.operations import (
    Apply,
    Create,
    Delete,
    Edit,
    EncodedEntry,
    Operation,
    Put,
    Share,
)
from session_store.core.records import EntryRecord, SessionRecord, StoredVersion, to_applied
from session_store.errors import (
    ConflictError,
    IllegalTransitionError,
    InvalidValueError,
    SessionExistsError,
    SessionNotFoundError,
    StaleSessionError,
)
from session_store.session import (
    CHECKPOINT,
    REMOVED,
    TRANSITIONS,
    Applied,
    NewCheckpoint,
    SessionKey,
    Status,
)

SharedScope: TypeAlias = tuple[str, str]
"""Whose shared document: the application's name and the user's id, "" for the whole application."""


class Decision(NamedTuple):
    """What to store for one operation, and its answer.

    ``keep``: entries with a greater ``seq`` are removed first. ``record``: replaces the stored
    one; ``None`` removes the session with its history. ``entries`` are then appended. ``shared``
    replaces the named shared documents. With ``writes`` false nothing is stored.
    """

    answer: Applied | None
    record: SessionRecord | None = None
    keep: int | None = None
    entries: tuple[EntryRecord, ...] = ()
    shared: Mapping[SharedScope, str] = {}
    writes: bool = True


def shared_scopes(operation: Operation) -> tuple[SharedScope, ...]:
    """The shared documents that ``operation`` changes, in the order in which to lock them."""
    if isinstance(operation, Share):
        return ((operation.app_name, operation.user_id),)
    if not isinstance(operation, Apply):
        return ()
    app, user = (operation.key.app_name, ""), (operation.key.app_name, operation.key.user_id)
    return ((app,) if operation.app_state else ()) + ((user,) if operation.user_state else ())


def decide(
    operation: Operation,
    current: SessionRecord | None,
    known: Sequence[EntryRecord] = (),
    shared: Mapping[SharedScope, str] | None = None,
) -> Decision:
    """What ``operation`` does to the ``current`` record.

    ``known``: the stored entries of the session whose ids the operation names. ``shared``: the
    stored texts of the documents that ``shared_scopes`` names. Raises what the port promises.
    """
    alive = current is not None and not operation.at.is_expired(current)
    match operation:
        case Create():
            return _created(operation, exists=alive)
        case Delete():
            return _deleted(operation, current, alive)
        case Put():
            return _put(operation, current)
        case Share():
            scope = operation.app_name, operation.user_id
            return Decision(None, shared={scope: operation.document})
        case Apply():
            if current is None or not alive:
                raise SessionNotFoundError(operation.key)
            return _applied(operation, current, known, shared or {})


def turned(operation: Apply, status: str, version: int, seq: int) -> Applied:
    """The answer to a turn that left its session so, with the entry that it appended."""
    (entry,), now = operation.entries, operation.at.now
    return to_applied(operation.key, status, version, now, ((seq, *entry, now, version),))


def _created(operation: Create, *, exists: bool) -> Decision:
    if exists:
        raise SessionExistsError(operation.key)
    answer = _answer(operation.record, operation.entries)
    return Decision(answer, operation.record, keep=0, entries=operation.entries)


def _deleted(operation: Delete, current: SessionRecord | None, alive: bool) -> Decision:
    if current is None:
        return Decision(None, writes=False)
    if alive:
        _refuse_stale(operation, current)
        if operation.expected not in (None, StoredVersion.of(current)):
            raise _is_another(operation.expected, current)
    return Decision(_answer(current) if alive else None)


def _put(operation: Put, current: SessionRecord | None) -> Decision:
    """Its answer names no entries: a history of 100,000 would be in memory once more."""
    if current and operation.replaces is None:
        raise SessionExistsError(operation.key)
    if current and StoredVersion.of(current) != operation.replaces:
        raise _is_another(operation.replaces, current)
    return Decision(_answer(operation.record), operation.record, 0, operation.entries)


def _is_another(expected: StoredVersion | None, current: SessionRecord) -> StaleSessionError:
    return StaleSessionError(current.key, expected.version if expected else 0, current.version)


def _applied(
    operation: Apply,
    current: SessionRecord,
    known: Sequence[EntryRecord],
    shared: Mapping[SharedScope, str],
) -> Decision:
    stored = {entry.entry_id: entry for entry in known}
    _refuse_conflicts(operation, stored)
    if operation.entry_ids and stored.keys() >= set(operation.entry_ids):
        return Decision(_repeated(operation, current, stored), writes=False)
    _refuse_stale(operation, current)
    return _changed(operation, current, stored, shared)


def _refuse_stale(operation: Apply | Delete, current: SessionRecord) -> None:
    if operation.expected_version not in (None, current.version):
        raise StaleSessionError(operation.key, operation.expected_version or 0, current.version)


def _refuse_conflicts(operation: Apply, stored: Mapping[str, EntryRecord]) -> None:
    """An id may come again, stored or in one batch, only with the same kind and payload."""
    seen = {entry_id: (entry.kind, entry.payload) for entry_id, entry in stored.items()}
    for entry in operation.entries:
        content = (entry.kind, entry.payload)
        if seen.setdefault(entry.entry_id, content) != content:
            raise ConflictError(operation.key, entry.entry_id)
    checkpoint = operation.checkpoint
    if checkpoint is None:
        return
    same = stored.get(checkpoint.checkpoint_id)
    batch = {entry.entry_id for entry in operation.entries}
    if checkpoint.checkpoint_id in batch or (same and same.kind != CHECKPOINT):
        raise ConflictError(operation.key, checkpoint.checkpoint_id)


def _repeated(
    operation: Apply, current: SessionRecord, stored: Mapping[str, EntryRecord]
) -> Applied:
    entries = [stored[entry_id] for entry_id in dict.fromkeys(operation.entry_ids)]
    first = max(entries, key=lambda entry: entry.version)
    repeated = current._replace(version=first.version, updated_at=first.created_at)
    return _answer(repeated, entries)


def _changed(
    operation: Apply,
    current: SessionRecord,
    stored: Mapping[str, EntryRecord],
    shared: Mapping[SharedScope, str],
) -> Decision:
    record = _next_record(operation, current)
    known = {key: entry for key, entry in stored.items() if entry.seq <= record.last_seq}
    appended = _numbered(operation, record, known)
    record = record._replace(last_seq=record.last_seq + len(appended))
    by_id = known | {entry.entry_id: entry for entry in appended}
    answer = _answer(record, [by_id[entry_id] for entry_id in dict.fromkeys(operation.entry_ids)])
    return Decision(answer, record, operation.rewind_to, appended, _shared(operation, shared))


def _next_record(operation: Apply, current: SessionRecord) -> SessionRecord:
    """The record after ``operation``, but for the entries that it appends."""
    record = _edited(operation, _rewound(operation, _restored(operation, current)))
    status = next_status(operation.key, record.status, operation.status, operation.is_activity)
    return record._replace(
        status=status.value,
        version=current.version + 1,
        updated_at=operation.at.now,
        completed_at=completed_at(current.completed_at, current.status, status, operation.at.now),
        expires_at=_expires_at(operation, record),
    )


def _restored(operation: Apply, record: SessionRecord) -> SessionRecord:
    if operation.restore is None:
        return record
    return record._replace(**operation.restore._asdict())


def _rewound(operation: Apply, record: SessionRecord) -> SessionRecord:
    if operation.rewind_to is None:
        return record
    if not 0 <= operation.rewind_to <= record.last_seq:
        raise InvalidValueError("rewind_to", f"must be a seq from 0 to {record.last_seq}")
    return record._replace(last_seq=operation.rewind_to)


def _edited(operation: Apply, record: SessionRecord) -> SessionRecord:
    return record._replace(
        state=_merged(record.state, operation.state, "state"),
        agent_states=_merged_agents(record.agent_states, operation.agent_states),
        metadata=_merged(record.metadata, operation.metadata, "metadata"),
    )


def _merged(text: str, edit: Edit | None, name: str) -> str:
    if edit is None:
        return text
    return codec.encode_merged(edit.merged(codec.decode(text, name)), name)


def _merged_agents(text: str, edits: Sequence[tuple[str, Edit]]) -> str:
    if not edits:
        return text
    agents: dict[str, dict[str, Any]] = codec.decode(text, "agent_states")
    for name, edit in edits:
        agents[name] = edit.merged(agents.get(name, {}))
    return codec.encode_merged(agents, "agent_states")


def next_status(key: SessionKey, status: str, wanted: Status | None, is_activity: bool) -> Status:
    """The status that follows ``status``; ``IllegalTransitionError`` where ``wanted`` may not."""
    current = Status(status)
    if wanted is None:
        starts = current is Status.CREATED and is_activity
        return Status.RUNNING if starts else current
    legal = TRANSITIONS[current]
    if wanted not in legal:
        names = ", ".join(sorted(legal)) or "restored from a checkpoint or forked"
        raise IllegalTransitionError(key, current, wanted, names)
    return wanted


def completed_at(
    was: datetime | None, before: str, status: Status, now: datetime
) -> datetime | None:
    """When a session whose status was ``before`` and is ``status`` now became completed."""
    if status == before:
        return was
    return now if status is Status.COMPLETED else None


def _expires_at(operation: Apply, record: SessionRecord) -> datetime | None:
    if operation.expires_at is REMOVED:
        return None
    return operation.expires_at or record.expires_at


def _numbered(
    operation: Apply, record: SessionRecord, known: Mapping[str, EntryRecord]
) -> tuple[EntryRecord, ...]:
    """The records of what the operation appends, without what is there already."""
    new = {entry.entry_id: entry for entry in operation.entries if entry.entry_id not in known}
    wanted = list(new.values())
    if operation.checkpoint and operation.checkpoint.checkpoint_id not in known:
        seq = record.last_seq + len(wanted) + 1
        wanted.append(_checkpoint(operation.checkpoint, record, seq))
    return tuple(
        EntryRecord(seq, *entry, created_at=operation.at.now, version=record.version)
        for seq, entry in enumerate(wanted, record.last_seq + 1)
    )


def _checkpoint(checkpoint: NewCheckpoint, record: SessionRecord, seq: int) -> EncodedEntry:
    """The session as ``record`` has it, joined from texts that are JSON already."""
    label = codec.encode_label(checkpoint.label, "label")
    payload = (
        f'{{"status":"{record.status}","seq":{seq},"label":{label},'
        f'"state":{record.state},"agent_states":{record.agent_states},"metadata":{record.metadata}}}'
    )
    return EncodedEntry(checkpoint.checkpoint_id, CHECKPOINT, payload)


def _shared(operation: Apply, stored: Mapping[SharedScope, str]) -> dict[SharedScope, str]:
    edits = {"": operation.app_state, operation.key.user_id: operation.user_state}
    return {
        (app, user): _merged(stored.get((app, user), "{}"), edits[user], "shared state")
        for app, user in shared_scopes(operation)
    }


def _answer(record: SessionRecord, entries: Sequence[EntryRecord] = ()) -> Applied:
    return to_applied(record.key, record.status, record.version, record.updated_at, entries)
