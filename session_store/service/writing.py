"""The writing half of the service. Every call is one transaction.

A session is named by ``session_id``; where several users of an application hold that id,
``user_id`` must say whose. Writes take an ``expected_version`` for where building on an older state
would be wrong, and answer with ``Applied``: status, version and the appended entries.
All may raise ``SessionNotFoundError``, ``AmbiguousSessionError``, ``InvalidValueError``, and
``StaleSessionError`` when the ``expected_version`` is passed by.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal, TypeAlias

from session_store.core import codec
from session_store.core.ids import new_id
from session_store.core.operations import checked_create
from session_store.core.records import built, to_session
from session_store.errors import (
    InvalidValueError,
    SessionNotFoundError,
)
from session_store.service.reading import SessionReader
from session_store.session import (
    ARTIFACT,
    DEFAULT_APP_NAME,
    EVENT,
    MESSAGE,
    Applied,
    Changes,
    Entry,
    NewCheckpoint,
    NewEntry,
    Patch,
    Removed,
    Session,
    SessionKey,
    Status,
)

NewEntries: TypeAlias = Any
"""A JSON payload, a ``NewEntry``, or a list of these: one batch."""


class SessionWriter(SessionReader):
    """Sessions that applications create, change, pause, restore and forget."""

    def create_session(
        self,
        *,
        user_id: str,
        session_id: str | None = None,
        app_name: str = DEFAULT_APP_NAME,
        metadata: dict[str, Any] | None = None,
        state: dict[str, Any] | None = None,
        expires_at: datetime | None = None,
    ) -> Session:
        """A new session, of a made id if none is given. ``SessionExistsError`` when it is there."""
        key = SessionKey(app_name, user_id, made(session_id))
        documents = {
            "state": {} if state is None else state,
            "agent_states": {},
            "metadata": {} if metadata is None else metadata,
        }
        return self._create(key, Status.CREATED, documents, expires_at=expires_at)

    def append(
        self,
        session_id: str,
        entries: NewEntries,
        *,
        kind: str = MESSAGE,
        entry_id: str | None = None,
        user_id: str | None = None,
        app_name: str = DEFAULT_APP_NAME,
        expected_version: int | None = None,
    ) -> Applied:
        """Append one payload or ``NewEntry``, or a list of them as one batch: all or none.

        ``kind`` is that of bare payloads. With an ``entry_id`` of its own an entry may be sent
        again: it is stored once, and ``ConflictError`` says that other content came under it.
        """
        changes = Changes(entries=_new_entries(entries, kind, entry_id))
        return self._apply(session_id, user_id, app_name, changes, expected_version)

    def add_artifact(
        self,
        session_id: str,
        artifact_type: str,
        payload: Any,
        *,
        entry_id: str | None = None,
        user_id: str | None = None,
        app_name: str = DEFAULT_APP_NAME,
        expected_version: int | None = None,
    ) -> Applied:
        """Append an artifact: an entry whose payload is ``{"type": …, "payload": …}``."""
        artifact = {"type": artifact_type, "payload": payload}
        changes = Changes(entries=_new_entries(artifact, ARTIFACT, entry_id))
        return self._apply(session_id, user_id, app_name, changes, expected_version)

    def update_state(
        self,
        session_id: str,
        state: Patch,
        *,
        app_state: Patch | None = None,
        user_state: Patch | None = None,
        user_id: str | None = None,
        app_name: str = DEFAULT_APP_NAME,
        expected_version: int | None = None,
    ) -> Applied:
        """Set these top-level keys of the state, ``REMOVED`` removes one; others stay.

        ``app_state`` and ``user_state`` go to the shared documents in the same transaction.
        """
        changes = Changes(state=state, app_state=app_state or {}, user_state=user_state or {})
        return self._apply(session_id, user_id, app_name, changes, expected_version)

    def update_agent_state(
        self,
        session_id: str,
        agent_name: str,
        state: Patch,
        *,
        user_id: str | None = None,
        app_name: str = DEFAULT_APP_NAME,
        expected_version: int | None = None,
    ) -> Applied:
        """Set these top-level keys of one agent's document; its others and other agents' stay."""
        changes = Changes(agent_states={agent_name: state})
        return self._apply(session_id, user_id, app_name, changes, expected_version)

    def update_session_metadata(
        self,
        session_id: str,
        metadata: Patch,
        *,
        user_id: str | None = None,
        app_name: str = DEFAULT_APP_NAME,
        expected_version: int | None = None,
    ) -> Applied:
        """Set these labels; others stay. A created session stays created."""
        changes = Changes(metadata=metadata)
        return self._apply(session_id, user_id, app_name, changes, expected_version)

    def update_session(
        self,
        session_id: str,
        *,
        state: Patch | None = None,
        agent_states: Mapping[str, Patch] | None = None,
        metadata: Patch | None = None,
        expires_at: datetime | Literal[Removed.REMOVED] | None = None,
        user_id: str | None = None,
        app_name: str = DEFAULT_APP_NAME,
        expected_version: int | None = None,
    ) -> Applied:
        """Several documents, and the session's own end, in one transaction; others stay."""
        changes = Changes(
            state=state or {},
            agent_states=agent_states or {},
            metadata=metadata or {},
            expires_at=expires_at,
        )
        return self._apply(session_id, user_id, app_name, changes, expected_version)

    def touch_session(
        self,
        session_id: str,
        *,
        expires_at: datetime | Literal[Removed.REMOVED] | None = None,
        user_id: str | None = None,
        app_name: str = DEFAULT_APP_NAME,
        expected_version: int | None = None,
    ) -> Applied:
        """Mark the session as used now; give, move or (``REMOVED``) take its own end."""
        changes = Changes(expires_at=expires_at)
        return self._apply(session_id, user_id, app_name, changes, expected_version)

    def pause_session(
        self,
        session_id: str,
        *,
        checkpoint_id: str | None = None,
        label: str | None = None,
        user_id: str | None = None,
        app_name: str = DEFAULT_APP_NAME,
        expected_version: int | None = None,
    ) -> Applied:
        """Pause and take a checkpoint, in one transaction. ``IllegalTransitionError``."""
        checkpoint = new_checkpoint(checkpoint_id, label)
        changes = Changes(status=Status.PAUSED, checkpoint=checkpoint)
        return self._apply(session_id, user_id, app_name, changes, expected_version)

    def resume_session(
        self,
        session_id: str,
        *,
        user_id: str | None = None,
        app_name: str = DEFAULT_APP_NAME,
        expected_version: int | None = None,
    ) -> Applied:
        """Run a paused, failed or new session. ``IllegalTransitionError`` for any other."""
        changes = Changes(status=Status.RUNNING)
        return self._apply(session_id, user_id, app_name, changes, expected_version)

    def complete_session(
        self,
        session_id: str,
        *,
        user_id: str | None = None,
        app_name: str = DEFAULT_APP_NAME,
        expected_version: int | None = None,
    ) -> Applied:
        """End the session well. ``IllegalTransitionError`` when it is completed already."""
        changes = Changes(status=Status.COMPLETED)
        return self._apply(session_id, user_id, app_name, changes, expected_version)

    def fail_session(
        self,
        session_id: str,
        *,
        reason: str | None = None,
        user_id: str | None = None,
        app_name: str = DEFAULT_APP_NAME,
        expected_version: int | None = None,
    ) -> Applied:
        """Mark the session as failed; a ``reason`` is kept as an event of type ``failed``."""
        event = {"type": "failed", "reason": reason}
        entries = _new_entries(event, EVENT, None) if reason is not None else ()
        changes = Changes(status=Status.FAILED, entries=entries)
        return self._apply(session_id, user_id, app_name, changes, expected_version)

    def delete_session(
        self,
        session_id: str,
        *,
        user_id: str | None = None,
        app_name: str = DEFAULT_APP_NAME,
        expected_version: int | None = None,
    ) -> bool:
        """Remove a session and its history for good; whether it was there."""
        try:
            key = self._key(session_id, user_id, app_name)
        except SessionNotFoundError:
            return False
        return self.repository.delete(key, self._moment(), expected_version)

    def _apply(
        self,
        session_id: str,
        user_id: str | None,
        app_name: str,
        changes: Changes,
        expected_version: int | None = None,
    ) -> Applied:
        key = self._key(session_id, user_id, app_name)
        return self.repository.apply(key, changes, self._moment(), expected_version)

    def _create(
        self,
        key: SessionKey,
        status: Status,
        documents: Mapping[str, Any],
        entries: tuple[Entry, ...] = (),
        expires_at: datetime | None = None,
    ) -> Session:
        at = self._moment()
        session = built(
            Session,
            {
                **documents,
                **key._asdict(),
                "status": status,
                "version": 1,
                "last_seq": len(entries),
                "created_at": at.now,
                "updated_at": at.now,
                "completed_at": at.now if status is Status.COMPLETED else None,
                "expires_at": None if expires_at is None else codec.utc(expires_at, "expires_at"),
                "entries": tuple(entry.model_copy(update={"version": 1}) for entry in entries),
            },
        )
        operation = checked_create(session, at)
        self.repository.commit((operation,))
        return to_session(operation.record, operation.entries)


def _new_entries(entries: NewEntries, kind: str, entry_id: str | None) -> tuple[NewEntry, ...]:
    if not isinstance(entries, (list, tuple)):
        return (_new_entry(entries, kind, entry_id),)
    if not entries:
        raise InvalidValueError("entries", "must not be empty; touch_session() only marks as used")
    if entry_id is not None and len(entries) > 1:
        raise InvalidValueError("entry_id", "is for one entry; give each of a batch its own")
    return tuple(_new_entry(entry, kind, entry_id) for entry in entries)


def _new_entry(entry: Any, kind: str, entry_id: str | None) -> NewEntry:
    if not isinstance(entry, NewEntry):
        return NewEntry(payload=entry, kind=kind, entry_id=made(entry_id))
    return replace(entry, entry_id=made(entry.entry_id if entry_id is None else entry_id))


def new_checkpoint(checkpoint_id: str | None, label: str | None) -> NewCheckpoint:
    return NewCheckpoint(checkpoint_id=made(checkpoint_id), label=label)


def made(identifier: str | None) -> str:
    return new_id() if identifier is None else identifier
