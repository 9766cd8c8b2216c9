"""Routes that read: one session, and pages of sessions."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, TypeAlias

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel

from session_store.core import codec
from session_store.core.queries import MAX_PAGE, OrderBy
from session_store.errors import InvalidValueError
from session_store.fastapi.access import Who
from session_store.fastapi.models import PageView, SessionView
from session_store.fastapi.paths import ALL, SessionId
from session_store.fastapi.preconditions import IfNoneMatch, etag, is_known
from session_store.fastapi.problems import documented
from session_store.service import SessionService
from session_store.session import Status

ETAG: Final = {"ETag": {"description": "The version of the session", "schema": {"type": "string"}}}

LABELS: Final = "A JSON object of labels; sessions have each with exactly this value"


async def conditions(
    *,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE, description="How many on a page")] = 50,
    cursor: Annotated[str | None, Query(description="That of the page before")] = None,
    status: Annotated[list[Status] | None, Query(description="Of one of these")] = None,
    created_after: Annotated[
        datetime | None, Query(description="At or after, with a time zone")
    ] = None,
    created_before: Annotated[datetime | None, Query(description="Before")] = None,
    updated_after: Annotated[datetime | None, Query(description="At or after")] = None,
    updated_before: Annotated[datetime | None, Query(description="Before")] = None,
    metadata: Annotated[
        str | None, Query(description=LABELS, examples=['{"title": "Mock interview"}'])
    ] = None,
    order_by: Annotated[
        OrderBy, Query(description="`created_at` keeps its order while sessions are written")
    ] = "updated_at",
) -> dict[str, Any]:
    """Which sessions. What is not given does not restrict."""
    return {
        "limit": limit,
        "cursor": cursor,
        "status": status,
        "created_after": created_after,
        "created_before": created_before,
        "updated_after": updated_after,
        "updated_before": updated_before,
        "metadata": _labels(metadata),
        "order_by": order_by,
    }


Which: TypeAlias = Annotated[dict[str, Any], Depends(conditions)]
SEQ: Final[dict[str, Any]] = {"ge": 0, "lt": 2**63}


def add_reading(router: APIRouter, service: SessionService, who: Any) -> None:
    @router.get(
        "",
        operation_id="list_sessions",
        summary="List sessions",
        response_model=PageView,
        responses=documented(),
    )
    def list_sessions(which: Which, owner: Who = who) -> Response:
        """One page of sessions without their histories, newest first.

        Pass the `cursor` of a page on for the next one.
        """
        return as_json(service.list_sessions(**which, **owner))

    @router.get(
        "/{session_id:path}",
        operation_id="get_session",
        summary="Get a session",
        response_model=SessionView,
        responses={
            200: {"headers": ETAG},
            304: {"description": "It is at the version of `If-None-Match`", "headers": ETAG},
            **documented(404, 409),
        },
    )
    def get_session(
        *,
        session_id: SessionId,
        last: Annotated[
            int | None, Query(**SEQ, description="Of these, the last n entries; 0: none")
        ] = None,
        after: Annotated[
            int | None, Query(**SEQ, description="Only entries after this `seq`")
        ] = None,
        kind: Annotated[str | None, Query(description="Only entries of this kind")] = None,
        if_none_match: IfNoneMatch = None,
        owner: Who = who,
    ) -> Response:
        """The session with its history: whole, or the part that is asked for.

        `kind=checkpoint` shows its checkpoints, `kind=artifact` its artifacts, and `after` what
        came since a `seq`. Whoever looks often sends the `ETag` as `If-None-Match`.
        """
        if if_none_match is not None:
            head = service.get_session(session_id, last=0, **owner)
            if is_known(if_none_match, head.version):
                return Response(status_code=304, headers={"ETag": etag(head.version)})
        session = service.get_session(session_id, last=last, after=after, kind=kind, **owner)
        return as_json(session, session.version)


def add_all_sessions(router: APIRouter, service: SessionService, app_name: str) -> None:
    """For operators: across users."""

    @router.get(
        f"/{ALL}",
        operation_id="list_all_sessions",
        summary="List the sessions of all users",
        response_model=PageView,
        responses=documented(),
    )
    def list_all_sessions(
        which: Which,
        user_id: Annotated[str | None, Query(description="Of this user only")] = None,
    ) -> Response:
        """One page of sessions of all users without their histories, newest first."""
        return as_json(service.list_sessions(app_name=app_name, user_id=user_id, **which))


def as_json(value: BaseModel, version: int | None = None, status: int = 200) -> Response:
    """Written by pydantic as it stands, and not checked again by FastAPI."""
    headers = {} if version is None else {"ETag": etag(version)}
    return Response(value.model_dump_json(), status, headers=headers, media_type="application/json")


def _labels(metadata: str | None) -> dict[str, Any]:
    if metadata is None:
        return {}
    try:
        labels = codec.parsed(metadata)
    except ValueError:
        labels = None
    if not isinstance(labels, dict):
        raise InvalidValueError("query.metadata", "must be a JSON object")
    return labels
