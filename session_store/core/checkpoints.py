"""Checkpoints: status and documents of a moment, to go back to or to begin another session with."""

from __future__ import annotations

from typing import Any

from session_store.errors import CheckpointNotFoundError, CorruptStoreError
from session_store.session import Documents, Entry, Restored, Session, Status


def checkpoint_of(session: Session, checkpoint_id: str) -> Entry:
    """The entry that is this checkpoint. ``CheckpointNotFoundError``."""
    for entry in session.checkpoints:
        if entry.entry_id == checkpoint_id:
            return entry
    raise CheckpointNotFoundError(session.key, checkpoint_id)


def restored(checkpoint: Entry) -> Restored:
    """What it brings back. ``CorruptStoreError`` where something is missing in it."""
    payload = checkpoint.payload
    try:
        return Restored(
            status=Status(payload["status"]),
            documents=Documents(**{name: payload[name] for name in Documents.model_fields}),
        )
    except (KeyError, TypeError, ValueError):
        raise CorruptStoreError(f"checkpoint {checkpoint.entry_id!r} is incomplete") from None


def documents_of(source: Documents) -> dict[str, Any]:
    """By their names, of a session or alone."""
    return {name: getattr(source, name) for name in Documents.model_fields}
