"""What goes wrong, as ``application/problem+json`` (RFC 9457): one table, errors to answers.

A problem holds versions, statuses and places, never a path, a URL, a user or what was sent: the
words are the table's, and the message of the error goes to the log.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from session_store.errors import (
    AmbiguousSessionError,
    CheckpointNotFoundError,
    ConflictError,
    CorruptStoreError,
    DiskFullError,
    DurabilityUnknownError,
    IllegalTransitionError,
    InvalidValueError,
    NotWritableError,
    OutcomeUnknownError,
    SchemaError,
    SessionExistsError,
    SessionNotFoundError,
    SessionStoreError,
    StaleSessionError,
    StoreClosedError,
    StoreUnreachableError,
    TooLargeError,
)
from session_store.session import TRANSITIONS

MEDIA_TYPE: Final = "application/problem+json"
TYPE: Final = "urn:session-store:problem:"

RETRY_AFTER: Final = 5
"""Seconds in which a lock is free again or a server restarts; a full disk takes longer anyway."""

_log: Final = logging.getLogger(__name__)


class Kind(NamedTuple):
    """A kind of problem: ``code`` ends its type, ``detail`` says what to do next."""

    status: int
    code: str
    title: str
    detail: str


TOO_LARGE: Final = Kind(
    413, "too-large", "Too large", "Send less at once; `errors` names what is too large."
)
PRECONDITION_FAILED: Final = Kind(
    412,
    "precondition-failed",
    "The session has changed",
    "It is not at the version of If-Match. Load it again and repeat the change.",
)
INVALID: Final = Kind(422, "invalid", "Invalid request", "`errors` names what can't be used.")
NO_ANSWER: Final = Kind(
    503, "no-answer", "The store gives no answer", "A check of the store did not end in time."
)
CLEANUP_FAILING: Final = Kind(
    503,
    "cleanup-failing",
    "The cleanup fails",
    "Expired sessions could not be removed the last time; the log of the server says why.",
)

KINDS: Final[Mapping[type[SessionStoreError], Kind]] = {
    SessionNotFoundError: Kind(
        404,
        "session-not-found",
        "No such session",
        "There is no live session of this id: never made, deleted, or expired.",
    ),
    CheckpointNotFoundError: Kind(
        404,
        "checkpoint-not-found",
        "No such checkpoint",
        "The session has none of this id; GET it with kind=checkpoint to see those it has.",
    ),
    SessionExistsError: Kind(
        409, "session-exists", "The session exists", "Load it, or choose another session_id."
    ),
    AmbiguousSessionError: Kind(
        409, "ambiguous-session", "Whose session?", "Several users hold this id: give user_id too."
    ),
    StaleSessionError: Kind(
        409,
        "stale-version",
        "The session has changed",
        "It is not at expected_version. Load it again and repeat the change.",
    ),
    ConflictError: Kind(
        409,
        "entry-conflict",
        "The entry id is taken",
        "An entry of this id is stored with other content. Use a new id for new content.",
    ),
    IllegalTransitionError: Kind(
        409,
        "illegal-transition",
        "Not in this status",
        "A session of this status can't take that one; allowed_statuses lists what it can.",
    ),
    TooLargeError: TOO_LARGE,
    InvalidValueError: INVALID,
    DurabilityUnknownError: Kind(
        503,
        "durability-unknown",
        "Written, but not confirmed",
        "The write is visible, but the disk did not confirm it. Do not repeat it without the same "
        "Idempotency-Key.",
    ),
    OutcomeUnknownError: Kind(
        503,
        "outcome-unknown",
        "Perhaps written",
        "The write is there whole, or not at all. Load the session, or repeat it with the same "
        "Idempotency-Key.",
    ),
    NotWritableError: Kind(
        503, "not-writable", "The store is not writable", "Nothing was written."
    ),
    DiskFullError: Kind(503, "disk-full", "The store is full", "Nothing was written."),
    StoreUnreachableError: Kind(
        503, "unreachable", "The store can't be reached", "Nothing was written; try again."
    ),
    StoreClosedError: Kind(
        503, "closed", "The store is closed", "The application is shutting down."
    ),
    SchemaError: Kind(
        503,
        "schema-behind",
        "The database has another schema",
        "It is not at the revision of this release; `session-store db upgrade` brings it there.",
    ),
    CorruptStoreError: Kind(
        503, "corrupt", "The store is damaged", "What is stored can't be read; it was left alone."
    ),
    SessionStoreError: Kind(
        503, "unavailable", "The store is unavailable", "Nothing was written; try again."
    ),
}


class Wrong(BaseModel):
    """One part of a request that can't be used."""

    where: str = Field(description="Its place", examples=["body.entries[0].kind"])
    problem: str = Field(description="What is wrong with it", examples=["Field required"])


class SessionProblem(BaseModel):
    """A problem as RFC 9457 describes it; the members after `detail` are there where they help."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": TYPE + "stale-version",
                    "title": "The session has changed",
                    "status": 409,
                    "detail": "It is not at expected_version. Load it again and repeat the change.",
                    "expected_version": 3,
                    "actual_version": 5,
                }
            ]
        }
    )

    type: str = Field(description="Which problem: a URN that stays the same over releases")
    title: str = Field(description="The problem in words")
    status: int = Field(description="The HTTP status")
    detail: str = Field(description="What to do next")
    expected_version: int | None = Field(None, description="The version that the request expected")
    actual_version: int | None = Field(None, description="The version that the session has")
    current_status: str | None = Field(None, description="The session's status")
    allowed_statuses: list[str] | None = Field(None, description="Those that may follow it")
    errors: list[Wrong] | None = Field(None, description="What in the request can't be used")


def problem(kind: Kind, **members: Any) -> SessionProblem:
    return SessionProblem(
        type=TYPE + kind.code, title=kind.title, status=kind.status, detail=kind.detail, **members
    )


def of_error(error: SessionStoreError, *, if_match: bool = False) -> SessionProblem:
    """``if_match``: the version that the request expected came with its If-Match."""
    kind = next(KINDS[one] for one in type(error).__mro__ if one in KINDS)
    if if_match and isinstance(error, StaleSessionError):
        kind = PRECONDITION_FAILED
    if kind.status >= 500:  # noqa: PLR2004 - the server's
        _log.error("%s: %s", type(error).__name__, error)
    return problem(kind, **_members(error))


def of_validation(errors: Iterable[Mapping[str, Any]]) -> SessionProblem:
    """Of what FastAPI refused, without the input."""
    wrong = [Wrong(where=_place(error["loc"]), problem=error["msg"]) for error in errors]
    return problem(INVALID, errors=wrong)


def response(problem: SessionProblem) -> Response:
    retry = {"Retry-After": str(RETRY_AFTER)} if problem.status == 503 else {}  # noqa: PLR2004
    return Response(
        problem.model_dump_json(exclude_none=True),
        problem.status,
        headers=retry,
        media_type=MEDIA_TYPE,
    )


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What the OpenAPI document says about these statuses."""
    return {status: _documented(status) for status in sorted({*statuses, 422, 503})}


def _documented(status: int) -> dict[str, Any]:
    kinds = [*KINDS.values(), PRECONDITION_FAILED]
    titles = dict.fromkeys(kind.title for kind in kinds if kind.status == status)
    schema = {"$ref": f"#/components/schemas/{SessionProblem.__name__}"}
    found: dict[str, Any] = {
        "description": "; ".join(titles),
        "content": {MEDIA_TYPE: {"schema": schema}},
    }
    if status == 503:  # noqa: PLR2004
        retry = {"description": "Seconds after which to try again", "schema": {"type": "integer"}}
        found["headers"] = {"Retry-After": retry}
    return found


def _members(error: SessionStoreError) -> dict[str, Any]:
    match error:
        case StaleSessionError():
            return {"expected_version": error.expected, "actual_version": error.actual}
        case IllegalTransitionError():
            allowed = sorted(TRANSITIONS[error.current])
            return {"current_status": error.current, "allowed_statuses": allowed}
        case InvalidValueError():
            return {"errors": [Wrong(where=error.path, problem=error.problem)]}
        case _:
            return {}


def _place(location: Sequence[str | int]) -> str:
    first, *steps = location
    return str(first) + "".join(
        f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps
    )
