"""The writes that reach a back end: checked, encoded, immutable, each with the moment it was made.

``checked_create`` and ``checked_apply`` are the one gate: what passes them every back end accepts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple, TypeAlias

from session_store.core import codec
from session_store.core.records import (
    MAX_VERSION,
    EntryFields,
    EntryRecord,
    SessionRecord,
    StoredVersion,
    checked_entry,
    checked_key,
    to_entry_record,
    to_head,
    to_record,
)
from session_store.errors import InvalidValueError, TooLargeError
from session_store.session import (
    CHECKPOINT,
    REMOVED,
    Changes,
    NewCheckpoint,
    NewEntry,
    Patch,
    Removed,
    Restored,
    Session,
    SessionKey,
    Status,
)

MAX_ENTRIES_PER_CALL = 10_000


class Moment(NamedTuple):
    """One reading of the service's clock, and since when a session must have been used to live.

    A session is expired when it was last updated before ``idle_cutoff``, was created before
    ``age_cutoff``, or its own ``expires_at`` is not after ``now``.
    """

    now: datetime
    idle_cutoff: datetime | None = None
    age_cutoff: datetime | None = None

    def is_expired(self, record: SessionRecord | StoredVersion) -> bool:
        return (
            (self.idle_cutoff is not None and record.updated_at < self.idle_cutoff)
            or (self.age_cutoff is not None and record.created_at < self.age_cutoff)
            or (record.expires_at is not None and record.expires_at <= self.now)
        )


class Edit(NamedTuple):
    """A checked patch of one document: the JSON text of its new keys, and the keys to remove."""

    values: str = "{}"
    removed: tuple[str, ...] = ()

    def merged(self, document: dict[str, Any]) -> dict[str, Any]:
        kept = {key: value for key, value in document.items() if key not in self.removed}
        new: dict[str, Any] = codec.decode(self.values, "a checked patch")
        return kept | new


class EncodedRestore(NamedTuple):
    """The status and the JSON texts of the documents that a checkpoint brings back."""

    status: str
    state: str
    agent_states: str
    metadata: str


class EncodedEntry(NamedTuple):
    """A checked entry to append; ``payload`` is JSON text."""

    entry_id: str
    kind: str
    payload: str


class Create(NamedTuple):
    """Store a whole session as it stands, unless a live one has its key."""

    record: SessionRecord
    entries: tuple[EntryRecord, ...]
    at: Moment

    @property
    def key(self) -> SessionKey:
        return self.record.key


class Apply(NamedTuple):
    """``Changes`` of a live session, encoded."""

    key: SessionKey
    at: Moment
    expected_version: int | None
    state: Edit | None
    agent_states: tuple[tuple[str, Edit], ...]
    metadata: Edit | None
    app_state: Edit | None
    user_state: Edit | None
    status: Status | None
    expires_at: datetime | Literal[Removed.REMOVED] | None
    entries: tuple[EncodedEntry, ...]
    checkpoint: NewCheckpoint | None
    restore: EncodedRestore | None
    rewind_to: int | None
    is_activity: bool

    @property
    def entry_ids(self) -> tuple[str, ...]:
        """The ids under which a repetition of this write is recognised."""
        made = (self.checkpoint.checkpoint_id,) if self.checkpoint else ()
        return (*(entry.entry_id for entry in self.entries), *made)

    @property
    def is_turn(self) -> bool:
        """Whether this appends one entry, and does nothing else."""
        return len(self.entries) == 1 and not (
            self.needs_documents
            or self.app_state
            or self.user_state
            or self.status
            or self.expires_at
            or self.rewind_to is not None
        )

    @property
    def needs_documents(self) -> bool:
        """Whether the session's documents must be read to carry this out."""
        return bool(
            self.state or self.agent_states or self.metadata or self.checkpoint or self.restore
        )


class Delete(NamedTuple):
    """Remove a session and its history; nothing to do when it is not there.

    It stays where it is not at ``expected_version``, or not in the state ``expected``, which tells
    it from another one of its key too.
    """

    key: SessionKey
    at: Moment
    expected_version: int | None = None
    expected: StoredVersion | None = None


class Put(NamedTuple):
    """Store a session of another store as it stands there, expired or not.

    It may take the place of one in the state ``replaces``; of another one never.
    """

    record: SessionRecord
    entries: tuple[EntryRecord, ...]
    at: Moment
    replaces: StoredVersion | None = None

    @property
    def key(self) -> SessionKey:
        return self.record.key


class Share(NamedTuple):
    """Let ``document`` be the shared document of an app, or with ``user_id`` of a user in it."""

    app_name: str
    user_id: str
    document: str
    at: Moment

    @property
    def key(self) -> SessionKey:
        """Of no session: an id has one byte or more."""
        return SessionKey(self.app_name, self.user_id, "")


Operation: TypeAlias = Create | Apply | Delete | Put | Share


def checked_create(session: Session, at: Moment) -> Create:
    """``InvalidValueError`` when a value is refused or the entries are not 1, 2, 3…"""
    record = to_record(session)
    entries = tuple(map(to_entry_record, session.entries))
    _check_history(record, entries)
    return Create(record, entries, at)


def _check_history(record: SessionRecord, entries: Sequence[EntryRecord]) -> None:
    seqs, versions = [entry.seq for entry in entries], [entry.version for entry in entries]
    if seqs != list(range(1, len(seqs) + 1)) or record.last_seq != len(seqs):
        raise InvalidValueError("entries", "must have the seqs 1, 2, 3… up to last_seq")
    if len({entry.entry_id for entry in entries}) != len(entries):
        raise InvalidValueError("entries", "must have different entry_ids")
    if not all(1 <= v <= record.version < MAX_VERSION for v in (record.version, *versions)):
        raise InvalidValueError("version", "must be 1 or more, an entry's at most its session's")


def checked_put(
    record: SessionRecord,
    entries: Iterable[EntryFields],
    at: Moment,
    replaces: StoredVersion | None = None,
) -> Put:
    """Of records from anywhere: what they say in the codec's own texts.

    ``InvalidValueError`` or ``CorruptStoreError`` when no back end would have stored it.
    """
    head = to_record(to_head(record))
    history = tuple(map(checked_entry, entries))
    _check_history(head, history)
    return Put(head, history, at, replaces)


def checked_apply(
    key: SessionKey, changes: Changes, at: Moment, expected_version: int | None
) -> Apply:
    """``InvalidValueError`` when a value is refused, before anything is written."""
    return Apply(
        key=checked_key(key),
        at=at,
        expected_version=_integer(expected_version, "expected_version"),
        state=_edit(changes.state, "state"),
        agent_states=_agent_edits(changes.agent_states),
        metadata=_edit(changes.metadata, "metadata"),
        app_state=_edit(changes.app_state, "app_state"),
        user_state=_edit(changes.user_state, "user_state"),
        status=None if changes.status is None else checked_status(changes.status),
        expires_at=_expires_at(changes),
        entries=_entries(changes.entries),
        checkpoint=changes.checkpoint and _checkpoint(changes.checkpoint),
        restore=None if changes.restore is None else _restore(changes.restore),
        rewind_to=_integer(changes.rewind_to, "rewind_to"),
        is_activity=changes.is_activity,
    )


def checked_status(status: Any) -> Status:
    """``InvalidValueError`` lists the ones that there are."""
    try:
        return Status(status)
    except ValueError:
        raise InvalidValueError("status", f"must be one of: {', '.join(Status)}") from None


def _restore(restored: Restored) -> EncodedRestore:
    documents = restored.documents
    return EncodedRestore(
        status=checked_status(restored.status).value,
        state=codec.encode_document(documents.state, "state"),
        agent_states=codec.encode_agents(documents.agent_states, "agent_states"),
        metadata=codec.encode_document(documents.metadata, "metadata"),
    )


def checked_delete(key: SessionKey, at: Moment, expected_version: int | None) -> Delete:
    """``InvalidValueError`` when the key or the version can't be one."""
    return Delete(checked_key(key), at, _integer(expected_version, "expected_version"))


def _integer(value: int | None, path: str) -> int | None:
    if value is not None and type(value) is not int:
        raise InvalidValueError(path, f"must be an integer, not {type(value).__name__}")
    return value


def _expires_at(changes: Changes) -> datetime | Literal[Removed.REMOVED] | None:
    if changes.expires_at is None or changes.expires_at is REMOVED:
        return changes.expires_at
    return codec.utc(changes.expires_at, "expires_at")


def _edit(patch: Patch, path: str, depth: int = 0) -> Edit | None:
    if not isinstance(patch, (dict, Mapping)):  # to ask the abstract class takes longer
        raise InvalidValueError(path, f"must be a mapping of keys, not {type(patch).__name__}")
    if not patch:
        return None
    values = {key: value for key, value in patch.items() if value is not REMOVED}
    removed = tuple(key for key, value in patch.items() if value is REMOVED)
    codec.encode_document(dict.fromkeys(removed), path)  # keys are checked, wanted or not
    return Edit(codec.encode_document(values, path, depth), removed)


def _agent_edits(patches: Mapping[str, Patch]) -> tuple[tuple[str, Edit], ...]:
    return tuple(
        [
            (
                codec.identifier(name, "agent_name"),
                _edit(patch, f"agent_states.{name}", depth=1) or Edit(),
            )
            for name, patch in patches.items()
        ]
    )


def _entries(entries: Iterable[NewEntry]) -> tuple[EncodedEntry, ...]:
    encoded: list[EncodedEntry] = []
    try:
        for entry in entries:
            encoded.append(_entry(entry))
    except InvalidValueError as refused:
        raise refused.within(f"entries[{len(encoded)}]") from None
    if len(encoded) > MAX_ENTRIES_PER_CALL:
        raise TooLargeError(
            "entries", f"are {len(encoded):,}; append at most {MAX_ENTRIES_PER_CALL:,} in one call"
        )
    return tuple(encoded)


def _entry(entry: NewEntry) -> EncodedEntry:
    if entry.kind == CHECKPOINT:
        raise InvalidValueError("kind", "is taken: create_checkpoint() makes checkpoints")
    return EncodedEntry(
        codec.identifier(entry.entry_id, "entry_id"),
        codec.identifier(entry.kind, "kind", codec.MAX_KIND_BYTES),
        codec.encode(entry.payload, "payload"),
    )


def _checkpoint(checkpoint: NewCheckpoint) -> NewCheckpoint:
    codec.identifier(checkpoint.checkpoint_id, "checkpoint_id")
    codec.encode_label(checkpoint.label, "label")
    return checkpoint
