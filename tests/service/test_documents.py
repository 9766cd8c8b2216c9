"""The documents of a session, and those that sessions share."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from session_store import (
    REMOVED,
    InvalidValueError,
    SessionNotFoundError,
    SessionService,
    StaleSessionError,
    Status,
)
from tests.service.support import CALLS, ready_session


@pytest.fixture
def service(service: SessionService) -> SessionService:
    service.create_session(
        user_id="ada", session_id="s1", state={"step": 1, "plan": {"a": 1}}, metadata={"title": "x"}
    )
    return service


def test_given_keys_are_set_and_the_others_stay(service: SessionService) -> None:
    service.update_state("s1", {"step": 2, "mood": "good"})
    assert service.get_session("s1").state == {"step": 2, "plan": {"a": 1}, "mood": "good"}


def test_a_key_is_replaced_as_a_whole(service: SessionService) -> None:
    service.update_state("s1", {"plan": {"b": 2}})
    assert service.get_session("s1").state["plan"] == {"b": 2}


def test_removed_takes_a_key_away_and_none_is_a_value(service: SessionService) -> None:
    service.update_state("s1", {"step": REMOVED, "never": REMOVED, "plan": None})
    assert service.get_session("s1").state == {"plan": None}


def test_keys_keep_the_order_in_which_they_came(service: SessionService) -> None:
    service.update_state("s1", {"b": 1, "a": 2})
    service.update_state("s1", {"step": 9})
    assert list(service.get_session("s1").state) == ["step", "plan", "b", "a"]


def test_each_agent_has_a_document_of_its_own(service: SessionService) -> None:
    service.update_agent_state("s1", "coach", {"asked": 1, "tone": "kind"})
    service.update_agent_state("s1", "judge", {"score": 3})
    service.update_agent_state("s1", "coach", {"asked": 2, "tone": REMOVED})
    assert service.get_session("s1").agent_states == {"coach": {"asked": 2}, "judge": {"score": 3}}


def test_an_agent_needs_a_name(service: SessionService) -> None:
    before = service.get_session("s1")
    wrong: list[Any] = ["", None, 5, "a\nb"]
    for name in wrong:
        with pytest.raises(InvalidValueError, match=r"^agent_name: "):
            service.update_agent_state("s1", name, {"n": 1})
    assert service.get_session("s1") == before


def test_labels_do_not_start_a_session(service: SessionService) -> None:
    applied = service.update_session_metadata("s1", {"title": REMOVED, "tags": ["a"]})
    assert applied.status is Status.CREATED
    assert service.get_session("s1").metadata == {"tags": ["a"]}


def test_shared_documents_are_of_the_app_and_of_the_user_in_it(service: SessionService) -> None:
    service.create_session(user_id="bob", session_id="s2")
    service.create_session(user_id="ada", session_id="s3", app_name="other")
    service.update_state("s1", {"step": 2}, app_state={"theme": "dark"}, user_state={"name": "Ada"})
    service.update_state("s2", {}, app_state={"tips": 1}, user_state={"name": "Bob"})
    assert service.get_shared_state() == {"theme": "dark", "tips": 1}
    assert service.get_shared_state(user_id="ada") == {"name": "Ada"}
    assert service.get_shared_state(user_id="bob") == {"name": "Bob"}
    assert service.get_shared_state(app_name="other") == {}
    assert service.get_shared_state(app_name="other", user_id="ada") == {}


def test_shared_documents_outlive_the_session_that_wrote_them(service: SessionService) -> None:
    service.update_state("s1", {}, app_state={"theme": "dark", "old": 1})
    service.update_state("s1", {}, app_state={"old": REMOVED})
    service.delete_session("s1")
    assert service.get_shared_state() == {"theme": "dark"}


def test_shared_documents_change_only_with_their_session(service: SessionService) -> None:
    with pytest.raises(SessionNotFoundError):
        service.update_state("unknown", {"a": 1}, app_state={"theme": "dark"})
    with pytest.raises(StaleSessionError):
        service.update_state("s1", {"a": 1}, user_state={"name": "Ada"}, expected_version=9)
    assert service.get_shared_state() == service.get_shared_state(user_id="ada") == {}


@pytest.mark.parametrize(
    "patch", [[1], "text", 5, {"a": 1}.items()], ids=["list", "text", "number", "items"]
)
def test_a_change_that_is_no_mapping_is_refused(memory: SessionService, patch: Any) -> None:
    before = memory.create_session(user_id="ada", session_id="s1")
    with pytest.raises(InvalidValueError, match="state: must be a mapping"):
        memory.update_state("s1", patch)
    with pytest.raises(InvalidValueError, match=r"agent_states\.coach: must be a mapping"):
        memory.update_agent_state("s1", "coach", patch)
    with pytest.raises(InvalidValueError, match="metadata: must be a mapping"):
        memory.update_session_metadata("s1", patch)
    assert memory.get_session("s1") == before


def test_a_call_on_another_version_than_expected_is_refused(service: SessionService) -> None:
    for name, call in CALLS.items():
        if name == "get_session":
            continue
        before = ready_session(service, user_id="ada", session_id=name)
        for stale in (0, before.version - 1, before.version + 1):
            with pytest.raises(StaleSessionError, match="load it again") as caught:
                call(service, name, expected_version=stale)
            assert (caught.value.expected, caught.value.actual) == (stale, before.version)
        assert service.get_session(name) == before
        call(service, name, expected_version=before.version)
        service.delete_session("fork")


def test_several_documents_change_in_one_write(service: SessionService) -> None:
    before = ready_session(service, user_id="ada", session_id="s2")
    service.update_session(
        "s2",
        state={"step": REMOVED, "n": 1},
        agent_states={"coach": {"mood": "calm"}},
        metadata={"tag": "x"},
        expires_at=service._clock() + timedelta(hours=1),
    )
    after = service.get_session("s2")
    assert (after.state, after.agent_states) == ({"n": 1}, {"coach": {"mood": "calm"}})
    assert after.metadata == before.metadata | {"tag": "x"}
    assert (after.version, after.expires_at is None) == (before.version + 1, False)
