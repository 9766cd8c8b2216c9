"""With a ``user_id`` dependency nobody reaches another user's sessions, by any route there is.

The routes are those of the OpenAPI document: one that is added later is walked too, and fails here
until it is known how to call it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, Header, HTTPException
from fastapi.testclient import TestClient

from session_store import Session, SessionService
from tests.service.support import ready_session
from tests.web.support import application, operations, problem

SECRET = "hunter2"

BODIES: dict[str, Any] = {
    "create_session": {},
    "update_session": {"state": {"n": 1}},
    "append_entries": {"entries": [{"payload": "x"}]},
    "add_artifact": {"type": "report", "payload": 1},
    "restore_checkpoint": {"checkpoint_id": "start"},
}
"""What operations need as a body; the others need none."""

OPERATORS = {"get_storage_stats", "cleanup_expired_sessions", "list_all_sessions"}
OWNERLESS = {"get_health", "list_sessions", "create_session"}
"""Those that name no session: each has a test of its own."""


def caller(x_user: Annotated[str, Header()] = "") -> str:
    if not x_user:
        raise HTTPException(401)
    return x_user


def operator(x_admin: Annotated[str, Header()] = "") -> None:
    if x_admin != SECRET:
        raise HTTPException(403)


@pytest.fixture
def app(service: SessionService) -> FastAPI:
    return application(service, user_id=Depends(caller), admin=Depends(operator))


@pytest.fixture
def bob(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app, headers={"X-User": "bob"}) as client:
        yield client


@pytest.fixture
def hers(service: SessionService) -> Session:
    ready_session(service, user_id="ada", session_id="hers")
    service.append("hers", {"text": SECRET}, user_id="ada")
    return service.get_session("hers", user_id="ada")


def call(client: TestClient, operation: tuple[str, str, Any], session_id: str, **more: Any) -> Any:
    method, path, described = operation
    body = BODIES.get(described["operationId"]) if "requestBody" in described else None
    if "requestBody" in described and described["requestBody"].get("required"):
        assert described["operationId"] in BODIES, f"give {path} a body"
    return client.request(method, path.replace("{session_id}", session_id), json=body, **more)


def test_no_route_of_a_session_reaches_another_users(
    app: FastAPI, bob: TestClient, service: SessionService, hers: Session
) -> None:
    walked = 0
    for operation in operations(app):
        if "{session_id}" not in operation[1]:
            assert operation[2]["operationId"] in OWNERLESS | OPERATORS
            continue
        for disguise in ({}, {"user_id": "ada"}, {"user_id": "ada", "app_name": "default"}):
            answer = call(bob, operation, "hers", params=disguise)
            assert (answer.status_code, problem(answer)) == (404, "session-not-found")
            answer = call(bob, operation, "hers", headers={"If-Match": f'"{hers.version}"'})
            assert answer.status_code == 404
            assert SECRET not in answer.text
        walked += 1
    assert walked >= 12
    assert service.get_session("hers", user_id="ada") == hers
    assert service.get_session_count() == 1


def test_every_route_of_a_session_reaches_ones_own_beside_another_users(
    app: FastAPI, bob: TestClient, service: SessionService, hers: Session
) -> None:
    for operation in operations(app):
        if "{session_id}" in operation[1]:
            ready_session(service, user_id="bob", session_id="hers")
            answer = call(bob, operation, "hers")
            assert answer.is_success
            assert SECRET not in answer.text
            assert answer.status_code == 204 or answer.json()["user_id"] == "bob"
            for head in service.get_all_user_sessions("bob"):
                service.delete_session(head.session_id, user_id="bob")
    assert service.get_session("hers", user_id="ada") == hers


def test_a_list_holds_ones_own_sessions_only(
    bob: TestClient, service: SessionService, hers: Session
) -> None:
    service.create_session(user_id="bob", session_id="his")
    for params in ({}, {"user_id": "ada"}, {"status": "running"}):
        page = bob.get("/sessions", params=params).json()
        assert {head["user_id"] for head in page["sessions"]} <= {"bob"}
    ada = bob.get("/sessions", headers={"X-User": "ada"}).json()
    cursor = bob.get("/sessions?limit=1", headers={"X-User": "ada"}).json()["cursor"]
    assert [head["session_id"] for head in ada["sessions"]] == ["hers"]
    assert cursor is None
    service.create_session(user_id="ada", session_id="newer")
    cursor = bob.get("/sessions?limit=1", headers={"X-User": "ada"}).json()["cursor"]
    assert cursor
    others = bob.get("/sessions", params={"cursor": cursor}).json()["sessions"]
    assert {head["user_id"] for head in others} <= {"bob"}


def test_a_session_is_created_for_the_caller_and_nobody_else(
    bob: TestClient, service: SessionService, hers: Session
) -> None:
    assert problem(bob.post("/sessions", json={"user_id": "ada"})) == "invalid"
    made = bob.post("/sessions?user_id=ada", json={"session_id": "hers"})
    assert (made.status_code, made.json()["user_id"]) == (201, "bob")
    assert service.get_session("hers", user_id="ada") == hers


def test_an_entry_id_or_checkpoint_of_another_user_is_unknown(
    bob: TestClient, service: SessionService, hers: Session
) -> None:
    service.create_session(user_id="bob", session_id="his")
    restore = bob.post("/sessions/his/restore", json={"checkpoint_id": "start"})
    assert problem(restore) == "checkpoint-not-found"
    assert problem(bob.post("/sessions/his/fork", json={"checkpoint_id": "start"})) == (
        "checkpoint-not-found"
    )


def test_what_concerns_all_users_is_there_for_operators_only(
    app: FastAPI, bob: TestClient, service: SessionService, hers: Session
) -> None:
    walked = set()
    for operation in operations(app):
        if operation[2]["operationId"] in OPERATORS:
            assert call(bob, operation, "").status_code == 403
            answer = call(bob, operation, "", headers={"X-Admin": SECRET})
            assert answer.status_code == 200
            walked.add(operation[2]["operationId"])
    assert walked == OPERATORS
    page = bob.get("/sessions/storage/sessions", headers={"X-Admin": SECRET, "X-User": ""}).json()
    assert [head["user_id"] for head in page["sessions"]] == ["ada"]


def test_without_an_admin_dependency_it_is_not_there_at_all(
    service: SessionService, hers: Session
) -> None:
    app = application(service, user_id=Depends(caller))
    found = {operation["operationId"] for _, _, operation in operations(app)}
    assert not found & OPERATORS
    with TestClient(app, headers={"X-User": "bob"}) as client:
        assert client.get("/sessions/storage/stats").status_code == 404
        assert client.get("/sessions/storage/sessions").status_code == 404
        assert client.post("/sessions/cleanup").status_code in (404, 405)


@pytest.mark.parametrize("nobody", [None, ""])
def test_a_dependency_that_finds_no_user_lets_nobody_in(
    service: SessionService, hers: Session, nobody: str | None
) -> None:
    app = application(service, user_id=Depends(lambda: nobody))
    with TestClient(app) as client:
        for operation in operations(app):
            if operation[2]["operationId"] != "get_health":
                assert call(client, operation, "hers").status_code == 401


def test_a_dependency_must_return_a_string(service: SessionService, hers: Session) -> None:
    app = application(service, user_id=Depends(lambda: 7))
    with TestClient(app) as client, pytest.raises(TypeError, match="must return the user's id"):
        client.get("/sessions")


def test_no_confined_operation_lets_a_request_name_a_user(app: FastAPI) -> None:
    for _, path, operation in operations(app):
        named = {parameter["name"] for parameter in operation.get("parameters", ())}
        if operation["operationId"] not in OPERATORS:
            assert not named & {"user_id", "app_name"}, path


def test_the_sessions_of_another_application_are_not_there(service: SessionService) -> None:
    service.create_session(user_id="bob", session_id="s1", app_name="other")
    app = application(service, user_id=Depends(caller), admin=Depends(operator))
    with TestClient(app, headers={"X-User": "bob", "X-Admin": SECRET}) as client:
        assert client.get("/sessions/s1").status_code == 404
        assert client.get("/sessions").json()["sessions"] == []
        assert client.get("/sessions/storage/sessions").json()["sessions"] == []
