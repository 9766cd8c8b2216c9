"""Routes that pause, resume, end, restore and fork a session."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter, Request, Response

from session_store.fastapi.access import Who
from session_store.fastapi.models import (
    Failure,
    Fork,
    NewCheckpoint,
    Restore,
    SessionView,
    Write,
)
from session_store.fastapi.paths import SessionId
from session_store.fastapi.preconditions import IdempotencyKey, IfMatch, entry_id, expected_version
from session_store.fastapi.problems import documented
from session_store.fastapi.writing import CREATED, made, writes, written
from session_store.service import SessionService

NOTHING: Final = Write()
UNNAMED: Final = NewCheckpoint()
NO_REASON: Final = Failure()
WHOLE: Final = Fork()


def add_status(router: APIRouter, service: SessionService, who: Any) -> None:
    @router.post("/{session_id:path}/pause", **writes("pause_session", "Pause"))
    def pause_session(
        session_id: SessionId,
        body: NewCheckpoint = UNNAMED,
        if_match: IfMatch = None,
        idempotency_key: IdempotencyKey = None,
        owner: Who = who,
    ) -> Response:
        """Pause the session and take a checkpoint, which is the entry of the answer."""
        asked = _checkpoint(body, if_match, idempotency_key)
        return written(service.pause_session(session_id, **asked, **owner))

    @router.post("/{session_id:path}/resume", **writes("resume_session", "Resume"))
    def resume_session(
        session_id: SessionId, body: Write = NOTHING, if_match: IfMatch = None, owner: Who = who
    ) -> Response:
        """Run a paused, failed or new session. 409 for any other."""
        version = expected_version(if_match, body.expected_version)
        return written(service.resume_session(session_id, expected_version=version, **owner))

    @router.post("/{session_id:path}/complete", **writes("complete_session", "Complete"))
    def complete_session(
        session_id: SessionId, body: Write = NOTHING, if_match: IfMatch = None, owner: Who = who
    ) -> Response:
        """End the session well. 409 when it is completed already."""
        version = expected_version(if_match, body.expected_version)
        return written(service.complete_session(session_id, expected_version=version, **owner))

    @router.post("/{session_id:path}/fail", **writes("fail_session", "Mark as failed"))
    def fail_session(
        session_id: SessionId,
        body: Failure = NO_REASON,
        if_match: IfMatch = None,
        owner: Who = who,
    ) -> Response:
        """Mark the session as failed; a reason is kept in its history. It can be resumed."""
        version = expected_version(if_match, body.expected_version)
        applied = service.fail_session(
            session_id, reason=body.reason, expected_version=version, **owner
        )
        return written(applied)


def add_checkpoints(router: APIRouter, service: SessionService, who: Any) -> None:
    @router.post(
        "/{session_id:path}/checkpoints", **writes("create_checkpoint", "Take a checkpoint")
    )
    def create_checkpoint(
        session_id: SessionId,
        body: NewCheckpoint = UNNAMED,
        if_match: IfMatch = None,
        idempotency_key: IdempotencyKey = None,
        owner: Who = who,
    ) -> Response:
        """Record status and documents as an entry; its `entry_id` is the checkpoint's id."""
        asked = _checkpoint(body, if_match, idempotency_key)
        return written(service.create_checkpoint(session_id, **asked, **owner))

    @router.post(
        "/{session_id:path}/restore", **writes("restore_checkpoint", "Restore a checkpoint")
    )
    def restore_checkpoint(
        session_id: SessionId, body: Restore, if_match: IfMatch = None, owner: Who = who
    ) -> Response:
        """Bring back status and documents; with `rewind` the history after it goes, too."""
        applied = service.restore_checkpoint(
            session_id,
            body.checkpoint_id,
            rewind=body.rewind,
            expected_version=expected_version(if_match, body.expected_version),
            **owner,
        )
        return written(applied)

    @router.post(
        "/{session_id:path}/fork",
        status_code=201,
        operation_id="fork_session",
        summary="Fork",
        response_model=SessionView,
        responses={**CREATED, **documented(404, 409, 412, 413)},
    )
    def fork_session(
        request: Request,
        session_id: SessionId,
        body: Fork = WHOLE,
        if_match: IfMatch = None,
        owner: Who = who,
    ) -> Response:
        """A new session of the same user with a copy of this one, or of it up to a checkpoint."""
        session = service.fork_session(
            session_id,
            checkpoint_id=body.checkpoint_id,
            new_session_id=body.new_session_id,
            expected_version=expected_version(if_match, body.expected_version),
            **owner,
        )
        return made(session, request.scope["path"].removesuffix(f"/{session_id}/fork"))


def _checkpoint(body: NewCheckpoint, if_match: str | None, key: str | None) -> dict[str, Any]:
    return {
        "checkpoint_id": entry_id(key, body.checkpoint_id),
        "label": body.label,
        "expected_version": expected_version(if_match, body.expected_version),
    }
