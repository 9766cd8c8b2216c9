"""Whatever a session is called: its id is refused when it is made, or every route finds it."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from session_store import InvalidValueError, SessionService
from session_store.core import codec
from session_store.fastapi.paths import RESERVED
from tests.web.support import Direct, application, problem
from tests.web.test_routes import CALLS

CHARACTERS = st.one_of(
    st.sampled_from("/.%?#&+;=:@~ \\\"'<>{}|^`é€\u0085\u2028\u200f\ufeff😀"),
    st.characters(exclude_categories=["Cs"]),
)
IDS = st.one_of(
    st.text(CHARACTERS, min_size=1, max_size=20),
    st.sampled_from(sorted(RESERVED)),
    st.sampled_from([path.strip("/") for _, path, _ in CALLS.values() if path]),
    st.sampled_from([f"s1{path}" for _, path, _ in CALLS.values() if path]),
    st.sampled_from(["%2F", "%252F", "a%2Fb", "storage", "cleanup", "..", "a/../b", "//", "%"]),
)


@pytest.fixture
def direct(service: SessionService) -> Direct:
    return Direct(application(service))


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(IDS)
@example("health")
@example("s1/pause")
@example("x" * 255)
@example("x" * 256)
@example("é" * 128)
def test_an_id_is_refused_at_once_or_found_by_every_route(
    direct: Direct, service: SessionService, session_id: str
) -> None:
    made = direct.request("POST", "/sessions", json={"user_id": "ada", "session_id": session_id})
    if made.status_code == 422:
        assert problem(made) == "invalid"
        return
    assert (made.status_code, made.json()["session_id"]) == (201, session_id)
    service.create_checkpoint(session_id, checkpoint_id="start", user_id="ada")
    path = made.headers["location"]
    assert path == "/sessions/" + quote(session_id, safe="")
    for method, suffix, body in CALLS.values():
        answer = direct.request(method, path + suffix, json=body)
        assert answer.is_success, (method, suffix, answer.text)
        if method == "GET":
            assert answer.json()["session_id"] == session_id
    assert service.get_session_count(user_id="ada") == 1
    service.delete_session("copy", user_id="ada")


@given(IDS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_only_ids_that_a_url_can_not_hold_are_refused(
    direct: Direct, service: SessionService, session_id: str
) -> None:
    parts = set(session_id.split("/"))
    refused = session_id in RESERVED or bool(parts & {"", ".", ".."}) or not is_id(session_id)
    made = direct.request("POST", "/sessions", json={"user_id": "bob", "session_id": session_id})
    assert made.status_code == (422 if refused else 201)
    if not refused:
        service.delete_session(session_id, user_id="bob")


def is_id(text: str) -> bool:
    try:
        return bool(codec.identifier(text, "id"))
    except InvalidValueError:
        return False


@pytest.mark.parametrize("session_id", sorted(RESERVED))
def test_a_reserved_id_is_taken_by_no_fork_either(
    direct: Direct, service: SessionService, session_id: str
) -> None:
    service.create_session(user_id="ada", session_id="s1")
    fork = direct.request("POST", "/sessions/s1/fork", json={"new_session_id": session_id})
    assert problem(fork) == "invalid"
    assert "another route" in fork.json()["errors"][0]["problem"]


def test_a_path_without_an_id_is_no_session(direct: Direct) -> None:
    assert problem(direct.request("GET", "/sessions/?user_id=ada")) == "invalid"
    assert problem(direct.request("DELETE", "/sessions/?user_id=ada")) == "invalid"
    assert problem(direct.request("POST", "/sessions//pause?user_id=ada")) == "invalid"
