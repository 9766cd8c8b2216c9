"""Routes that make and change sessions. Each is one call of the service, and one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final, Literal
from urllib.parse import quote

from fastapi import APIRouter, Request, Response

from session_store.errors import SessionNotFoundError
from session_store.fastapi.access import Who
from session_store.fastapi.models import (
    EntryView,
    NewArtifact,
    NewEntries,
    NewSession,
    NewSessionOf,
    SessionPatch,
    SessionView,
    WrittenView,
)
from session_store.fastapi.paths import SessionId
from session_store.fastapi.preconditions import IdempotencyKey, IfMatch, entry_id, expected_version
from session_store.fastapi.problems import documented
from session_store.fastapi.reading import ETAG, as_json
from session_store.service import SessionService
from session_store.session import REMOVED, Applied, NewEntry, Patch, Removed, Session, SessionKey

CREATED: Final[dict[int | str, dict[str, Any]]] = {
    201: {"headers": {**ETAG, "Location": {"schema": {"type": "string"}}}}
}
_WRITTEN: Final[dict[int | str, dict[str, Any]]] = {
    200: {"headers": ETAG},
    **documented(404, 409, 412, 413),
}


def add_creating(router: APIRouter, service: SessionService, who: Any, *, is_open: bool) -> None:
    """The owner of a new session is the caller, or in an open router whoever the body names."""
    route = router.post(
        "",
        status_code=201,
        operation_id="create_session",
        summary="Create a session",
        response_model=SessionView,
        responses={**CREATED, **documented(409, 413)},
    )

    def create_of_anyone(request: Request, body: NewSessionOf, owner: Who = who) -> Response:
        """A new session. 409 when the user holds a session of this id already."""
        session = service.create_session(app_name=owner["app_name"], **dict(body))
        return made(session, request.scope["path"])

    def create_of_caller(request: Request, body: NewSession, owner: Who = who) -> Response:
        """A new session of the caller. 409 when there is one of this id already."""
        session = service.create_session(
            user_id=str(owner["user_id"]), app_name=owner["app_name"], **dict(body)
        )
        return made(session, request.scope["path"])

    route(create_of_anyone if is_open else create_of_caller)


def add_writing(router: APIRouter, service: SessionService, who: Any) -> None:
    @router.patch("/{session_id:path}", **writes("update_session", "Change documents"))
    def update_session(
        session_id: SessionId,
        body: SessionPatch,
        if_match: IfMatch = None,
        owner: Who = who,
    ) -> Response:
        """Set and remove top-level keys of the documents, in one transaction.

        Two requests that set different keys both win. Set `expires_at` to give the session its own
        end. `{}` marks the session as used.
        """
        applied = service.update_session(
            session_id,
            **_patches(body),
            expires_at=_end(body.expires_at),
            expected_version=expected_version(if_match, body.expected_version),
            **owner,
        )
        return written(applied)

    @router.post("/{session_id:path}/entries", **writes("append_entries", "Append to the history"))
    def append_entries(
        session_id: SessionId,
        body: NewEntries,
        if_match: IfMatch = None,
        idempotency_key: IdempotencyKey = None,
        owner: Who = who,
    ) -> Response:
        """Append entries, all or none; the store numbers them 1, 2, 3… without gaps.

        With an `Idempotency-Key`, or an `entry_id` for each, a request may be repeated: every entry
        is stored once. 409 says that other content came under an id.
        """
        entries = [NewEntry(**dict(entry)) for entry in body.entries]
        (first, *others) = body.entries
        key = entry_id(idempotency_key, None if others else first.entry_id)
        applied = service.append(
            session_id,
            entries,
            entry_id=key,
            expected_version=expected_version(if_match, body.expected_version),
            **owner,
        )
        return written(applied)

    @router.post("/{session_id:path}/artifacts", **writes("add_artifact", "Add an artifact"))
    def add_artifact(
        session_id: SessionId,
        body: NewArtifact,
        if_match: IfMatch = None,
        idempotency_key: IdempotencyKey = None,
        owner: Who = who,
    ) -> Response:
        """Append an artifact: an entry of the kind `artifact` that holds `type` and `payload`."""
        applied = service.add_artifact(
            session_id,
            body.type,
            body.payload,
            entry_id=entry_id(idempotency_key, body.entry_id),
            expected_version=expected_version(if_match, body.expected_version),
            **owner,
        )
        return written(applied)

    @router.delete(
        "/{session_id:path}",
        status_code=204,
        operation_id="delete_session",
        summary="Delete a session",
        responses=documented(404, 409, 412),
    )
    def delete_session(session_id: SessionId, if_match: IfMatch = None, owner: Who = who) -> None:
        """Remove a session and its history for good."""
        version = expected_version(if_match)
        if not service.delete_session(session_id, expected_version=version, **owner):
            raise SessionNotFoundError(
                SessionKey(owner["app_name"], owner["user_id"] or "*", session_id)
            )


def writes(operation_id: str, summary: str) -> dict[str, Any]:
    """What the routes that change a session have in common."""
    return {
        "operation_id": operation_id,
        "summary": summary,
        "response_model": WrittenView,
        "responses": _WRITTEN,
    }


def written(applied: Applied) -> Response:
    view = WrittenView.model_construct(
        **applied.key._asdict(),
        status=applied.status,
        version=applied.version,
        updated_at=applied.updated_at,
        entries=[EntryView.model_construct(**dict(entry)) for entry in applied.entries],
    )
    return as_json(view, applied.version)


def made(session: Session, sessions: str) -> Response:
    """The answer to what made a session; ``sessions`` is the path that all of them lie under."""
    response = as_json(session, session.version, 201)
    response.headers["Location"] = quote(f"{sessions}/") + quote(session.session_id, safe="")
    return response


def _patches(body: SessionPatch) -> dict[str, Any]:
    """The patches of the three documents, as the service takes them."""
    removed = body.remove
    agents = sorted(body.agent_states.keys() | removed.agent_states.keys())
    return {
        "state": _patch(body.state, removed.state),
        "metadata": _patch(body.metadata, removed.metadata),
        "agent_states": {
            name: _patch(body.agent_states.get(name, {}), removed.agent_states.get(name, ()))
            for name in agents
        },
    }


def _patch(values: Mapping[str, Any], removed: Iterable[str]) -> Patch:
    return {**values, **dict.fromkeys(removed, REMOVED)}


def _end(
    expires_at: datetime | Literal["never"] | None,
) -> datetime | Literal[Removed.REMOVED] | None:
    return REMOVED if expires_at == "never" else expires_at
