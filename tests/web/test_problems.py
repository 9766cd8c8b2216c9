"""What goes wrong, as the caller sees it: one table, no text of the store, no echo."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI, Header, HTTPException
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse
from fastapi.testclient import TestClient

from session_store import SessionService, errors
from session_store.core.codec import MAX_DOCUMENT_BYTES
from session_store.core.operations import Operation
from session_store.errors import SessionStoreError
from session_store.fastapi import session_router
from session_store.fastapi.problems import CLEANUP_FAILING, KINDS, NO_ANSWER, PRECONDITION_FAILED
from session_store.session import Applied, SessionKey, Status
from tests.service.support import Wrapped
from tests.web.support import PROBLEM, application, problem, running

SECRET = "hunter2"
KEY = SessionKey("default", "ada", SECRET)

MADE: dict[type[SessionStoreError], tuple[Any, ...]] = {
    errors.SessionNotFoundError: (KEY,),
    errors.CheckpointNotFoundError: (KEY, SECRET),
    errors.SessionExistsError: (KEY,),
    errors.AmbiguousSessionError: (SECRET, SECRET),
    errors.StaleSessionError: (KEY, 1, 2),
    errors.ConflictError: (KEY, SECRET),
    errors.IllegalTransitionError: (KEY, Status.COMPLETED, Status.RUNNING, SECRET),
    errors.TooLargeError: ("state", "is too large"),
    errors.InvalidValueError: ("state.x", "is wrong"),
}
"""What the errors are made of that are more than a message."""

EVERY = [one for one in vars(errors).values() if isinstance(one, type)]


class Failing(Wrapped):
    """Every write raises ``error``."""

    error: SessionStoreError

    def commit(self, operations: Sequence[Operation]) -> tuple[Applied | None, ...]:
        raise self.error


def failing(error: SessionStoreError) -> SessionService:
    repository = Failing()
    repository.error = error
    return SessionService(repository, cleanup_interval=None)


def made(kind: type[SessionStoreError]) -> SessionStoreError:
    """Of this kind, with what must not get out in its message."""
    if kind in MADE:
        return kind(*MADE[kind])
    error = kind.__new__(kind)
    error.args = (f"postgresql://u:{SECRET}@h/d and /srv/{SECRET}",)
    return error


@pytest.mark.parametrize("kind", [one for one in EVERY if issubclass(one, SessionStoreError)])
def test_every_error_is_a_documented_problem_that_gives_nothing_away(
    kind: type[SessionStoreError], caplog: pytest.LogCaptureFixture
) -> None:
    service = failing(made(kind))
    with running(service) as client:
        answer = client.post("/sessions/s1/entries?user_id=ada", json={"entries": [{"payload": 1}]})
        operation = client.get("/openapi.json").json()["paths"]["/sessions/{session_id}/entries"]
    found = next(KINDS[one] for one in kind.__mro__ if one in KINDS)
    assert (answer.status_code, problem(answer)) == (found.status, found.code)
    assert PROBLEM in operation["post"]["responses"][str(answer.status_code)]["content"]
    assert SECRET not in answer.text
    assert ("retry-after" in answer.headers) == (answer.status_code == 503)
    logged = [one for one in caplog.records if one.levelno >= logging.ERROR]
    assert bool(logged) == (answer.status_code >= 500)


def test_the_page_has_every_kind_of_problem_with_its_status() -> None:
    page = (Path(__file__).parents[2] / "docs" / "http.md").read_text()
    rows = dict(re.findall(r"^\| `([\w-]+)` \| (\d{3}) \|", page, re.MULTILINE))
    others = (PRECONDITION_FAILED, NO_ANSWER, CLEANUP_FAILING)
    assert rows == {kind.code: str(kind.status) for kind in (*KINDS.values(), *others)}


REFUSED: dict[str, tuple[int, str]] = {
    "no JSON": (422, f'{{"state": "{SECRET}'),
    "not an object": (422, json.dumps([SECRET])),
    "not a number": (422, '{"state": {"x": NaN}}'),
    "infinite": (422, '{"state": {"x": 1e999}}'),
    "more than 64 bits": (422, '{"state": {"x": 9223372036854775808}}'),
    "a lone surrogate": (422, '{"state": {"x": "\\ud800"}}'),
    "a lone surrogate in a key": (422, '{"state": {"\\udfff": 1}}'),
    "too deep": (422, '{"state": {"x":' + "[" * 150 + "]" * 150 + "}}"),
    "far too deep": (422, '{"state": {"x":' + "[" * 100_000 + "]" * 100_000 + "}}"),
    "no UTF-8": (422, b'{"state": {"x": "\xff"}}'),  # type: ignore[dict-item]
    "an unknown member": (422, json.dumps({"stat": SECRET})),
    "a wrong type": (422, json.dumps({"state": SECRET})),
    "a naive time": (422, json.dumps({"expires_at": "2026-03-01T12:00:00"})),
    "a document too large": (413, json.dumps({"state": {"x": "y" * MAX_DOCUMENT_BYTES}})),
}


@pytest.mark.parametrize(("status", "body"), REFUSED.values(), ids=[*REFUSED])
def test_a_body_that_no_store_keeps_is_refused_without_an_echo(
    client: TestClient, service: SessionService, status: int, body: str | bytes
) -> None:
    before = service.create_session(user_id="ada", session_id="s1")
    headers = {"Content-Type": "application/json"}
    answer = client.patch("/sessions/s1", content=body, headers=headers)
    assert (answer.status_code, problem(answer)) == (
        status,
        "invalid" if status == 422 else "too-large",
    )
    assert answer.json()["errors"]
    assert SECRET not in answer.text
    assert service.get_session("s1") == before


def test_a_body_of_another_type_is_refused(client: TestClient, service: SessionService) -> None:
    service.create_session(user_id="ada", session_id="s1")
    for headers in ({"Content-Type": "text/plain"}, {}):
        answer = client.patch("/sessions/s1", content=f'{{"x": "{SECRET}"}}', headers=headers)
        assert problem(answer) == "invalid"
        assert SECRET not in answer.text


def sent(app: FastAPI, headers: dict[str, str], chunks: int) -> tuple[int, int]:
    """The status of a PATCH whose body is ``chunks`` of 1,000 bytes, and how many were read."""
    read, statuses = 0, []

    async def receive() -> dict[str, Any]:
        nonlocal read
        read += 1
        return {"type": "http.request", "body": b"x" * 1000, "more_body": read < chunks}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    scope = {
        "type": "http",
        "method": "PATCH",
        "path": "/sessions/s1",
        "raw_path": b"/sessions/s1",
        "root_path": "",
        "query_string": b"",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
    }
    asyncio.run(app(scope, receive, send))  # type: ignore[arg-type]
    return statuses[0], read


def test_a_body_beyond_the_limit_is_refused_before_it_is_read(service: SessionService) -> None:
    app = application(service, max_body_bytes=5000)
    json_type = {"Content-Type": "application/json"}
    assert sent(app, json_type | {"Content-Length": "1000000"}, 1000) == (413, 0)
    assert sent(app, json_type, 1000) == (413, 6)
    assert sent(app, json_type | {"Content-Length": "5000"}, 1000) == (413, 6)
    assert sent(app, json_type | {"Content-Length": "5000"}, 5) == (422, 5)


def test_the_application_keeps_its_own_errors(service: SessionService) -> None:
    app = FastAPI()
    others = APIRouter()

    @app.exception_handler(RequestValidationError)
    def refused(*_: object) -> PlainTextResponse:
        return PlainTextResponse("mine", 400)

    @others.get("/number")
    def number(n: int) -> int:
        return n

    @others.get("/away")
    def away() -> None:
        raise HTTPException(418, "teapot")

    app.include_router(session_router(service))
    app.include_router(others)
    with TestClient(app) as client:
        assert (client.get("/number?n=x").status_code, client.get("/number?n=x").text) == (
            400,
            "mine",
        )
        assert client.get("/away").json() == {"detail": "teapot"}
        assert problem(client.get("/sessions?limit=x")) == "invalid"


def test_what_the_application_requires_is_answered_by_the_application(
    service: SessionService,
) -> None:
    from fastapi import Depends

    def token(x_token: str = Header("")) -> None:
        if x_token != SECRET:
            raise HTTPException(401, "who are you?")

    with running(service, dependencies=[Depends(token)]) as client:
        for path in ("/sessions", "/sessions/health", "/sessions/storage/stats"):
            assert client.get(path).json() == {"detail": "who are you?"}
            assert client.get(path, headers={"X-Token": SECRET}).status_code == 200
