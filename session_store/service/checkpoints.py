"""Checkpoints: status and documents of a moment, to go back to or to begin another session with."""

from __future__ import annotations

from typing import Any

from session_store.core.queries import Window
from session_store.errors import CheckpointNotFoundError, CorruptStoreError, StaleSessionError
from session_store.service.writing import SessionWriter, made, new_checkpoint
from session_store.session import (
    CHECKPOINT,
    DEFAULT_APP_NAME,
    Applied,
    Changes,
    Documents,
    Entry,
    Restored,
    Session,
    Status,
)


class SessionCheckpoints(SessionWriter):
    """Sessions that applications take back to an earlier state, or copy from one."""

    def create_checkpoint(
        self,
        session_id: str,
        *,
        checkpoint_id: str | None = None,
        label: str | None = None,
        user_id: str | None = None,
        app_name: str = DEFAULT_APP_NAME,
        expected_version: int | None = None,
    ) -> Applied:
        """Record status and documents as an entry; its ``entry_id`` is the checkpoint's id."""
        changes = Changes(checkpoint=new_checkpoint(checkpoint_id, label))
        return self._apply(session_id, user_id, app_name, changes, expected_version)

    def restore_checkpoint(
        self,
        session_id: str,
        checkpoint_id: str,
        *,
        rewind: bool = False,
        user_id: str | None = None,
        app_name: str = DEFAULT_APP_NAME,
        expected_version: int | None = None,
    ) -> Applied:
        """Bring back status and documents; with ``rewind`` drop the history after the checkpoint.

        ``CheckpointNotFoundError`` when the session has none of this id.
        """
        key, at = self._key(session_id, user_id, app_name), self._moment()
        session = self.repository.load(key, at, Window(kind=CHECKPOINT))
        entry = _checkpoint_of(session, checkpoint_id)
        changes = Changes(restore=_restored(entry), rewind_to=entry.seq if rewind else None)
        return self.repository.apply(key, changes, at, expected_version)

    def fork_session(
        self,
        session_id: str,
        *,
        checkpoint_id: str | None = None,
        new_session_id: str | None = None,
        user_id: str | None = None,
        app_name: str = DEFAULT_APP_NAME,
        expected_version: int | None = None,
    ) -> Session:
        """A new session of the same user with a copy of this one, or of it up to a checkpoint."""
        source = self.get_session(session_id, user_id=user_id, app_name=app_name)
        if expected_version not in (None, source.version):
            raise StaleSessionError(source.key, expected_version or 0, source.version)
        key = source.key._replace(session_id=made(new_session_id))
        if checkpoint_id is None:
            return self._create(key, source.status, _documents(source), source.entries)
        entry = _checkpoint_of(source, checkpoint_id)
        restored, history = _restored(entry), source.entries[: entry.seq]
        return self._create(key, restored.status, _documents(restored.documents), history)


def _documents(source: Documents) -> dict[str, Any]:
    return {name: getattr(source, name) for name in Documents.model_fields}


def _checkpoint_of(session: Session, checkpoint_id: str) -> Entry:
    for entry in session.checkpoints:
        if entry.entry_id == checkpoint_id:
            return entry
    raise CheckpointNotFoundError(session.key, checkpoint_id)


def _restored(checkpoint: Entry) -> Restored:
    payload = checkpoint.payload
    try:
        return Restored(
            status=Status(payload["status"]),
            documents=Documents(**{name: payload[name] for name in Documents.model_fields}),
        )
    except (KeyError, TypeError, ValueError):
        raise CorruptStoreError(f"checkpoint {checkpoint.entry_id!r} is incomplete") from None
