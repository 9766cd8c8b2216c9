"""Creating, finding, reading and deleting one session."""

from __future__ import annotations

import inspect
from typing import Any
from uuid import UUID

import pytest

from session_store import (
    AmbiguousSessionError,
    InvalidValueError,
    NewEntry,
    SessionExistsError,
    SessionNotFoundError,
    SessionService,
    Status,
)
from tests.service.support import CALLS, NOON, WRITES, Store, payloads, ready_session, seqs


def test_a_created_session_reads_back_as_it_was_answered(service: SessionService) -> None:
    created = service.create_session(
        user_id="ada", session_id="s1", metadata={"title": "Intro"}, state={"step": 1}
    )
    assert service.get_session("s1") == created
    assert created.key == ("default", "ada", "s1")
    assert created.status is Status.CREATED
    assert (created.version, created.last_seq, created.entries) == (1, 0, ())
    assert (created.created_at, created.updated_at) == (NOON, NOON)
    assert (created.state, created.metadata, created.agent_states) == (
        {"step": 1},
        {"title": "Intro"},
        {},
    )


def test_an_id_is_made_when_none_is_given(memory: SessionService) -> None:
    made = [memory.create_session(user_id="ada").session_id for _ in range(20)]
    assert len(set(made)) == 20
    assert all(UUID(id_).version == 7 for id_ in made)
    assert made == sorted(made)


def test_what_is_answered_is_independent_of_what_was_passed_in(service: SessionService) -> None:
    state: dict[str, Any] = {"scores": [1]}
    metadata: dict[str, Any] = {"tags": ["a"]}
    created = service.create_session(user_id="ada", session_id="s1", metadata=metadata, state=state)
    state["scores"].append(2)
    metadata["tags"].clear()
    assert created.state == {"scores": [1]}
    assert created.metadata == {"tags": ["a"]}
    assert service.get_session("s1") == created


def test_what_is_read_is_independent_of_what_is_stored(service: SessionService) -> None:
    created = service.create_session(user_id="ada", session_id="s1", state={"scores": [1]})
    payload = {"words": ["hello"]}
    applied = service.append("s1", payload)
    payload["words"].append("passed in")
    applied.entry.payload["words"].append("answered")
    created.state["scores"].append(2)
    service.get_session("s1").state["scores"].append(3)
    stored = service.get_session("s1")
    assert stored.state == {"scores": [1]}
    assert payloads(stored) == [{"words": ["hello"]}]


def test_an_existing_session_is_never_overwritten(service: SessionService) -> None:
    service.create_session(user_id="ada", session_id="s1", state={"step": 1})
    service.append("s1", "kept")
    before = service.get_session("s1")
    with pytest.raises(SessionExistsError, match="choose another session_id"):
        service.create_session(user_id="ada", session_id="s1", state={"step": 2})
    assert service.get_session("s1") == before


def test_a_document_that_is_no_object_is_refused(service: SessionService) -> None:
    wrong: list[Any] = [[], "", 0, False, "text", [1]]
    for value in wrong:
        with pytest.raises(InvalidValueError, match="state: must be a JSON object"):
            service.create_session(user_id="ada", state=value)
        with pytest.raises(InvalidValueError, match="metadata: must be a JSON object"):
            service.create_session(user_id="ada", metadata=value)
    assert service.get_session_count() == 0


def test_every_method_that_takes_a_session_id_is_tried_here() -> None:
    takes_id = {
        name
        for name, method in inspect.getmembers(SessionService, inspect.isfunction)
        if not name.startswith("_") and "session_id" in inspect.signature(method).parameters
    }
    assert takes_id - {"create_session", "discard_unsaved"} == set(CALLS)


def test_a_keyword_that_no_method_has_is_refused_and_nothing_is_changed(
    service: SessionService,
) -> None:
    before = ready_session(service, user_id="ada", session_id="s1")
    for call in CALLS.values():
        with pytest.raises(TypeError, match="usr_id"):
            call(service, "s1", usr_id="ada")
    with pytest.raises(TypeError, match="expected_version"):
        CALLS["get_session"](service, "s1", expected_version=1)
    assert service.get_session("s1") == before


def test_a_session_is_found_by_its_id_alone(service: SessionService) -> None:
    for name, call in CALLS.items():
        ready_session(service, user_id="ada", session_id=name)
        assert call(service, name), name


def test_an_id_of_several_users_asks_for_the_user(service: SessionService) -> None:
    ada = ready_session(service, user_id="ada", session_id="s1")
    bob = ready_session(service, user_id="bob", session_id="s1")
    for call in CALLS.values():
        with pytest.raises(AmbiguousSessionError, match="pass user_id="):
            call(service, "s1")
    assert service.get_session("s1", user_id="ada") == ada
    assert service.get_session("s1", user_id="bob") == bob


def test_a_user_id_reaches_only_the_session_of_that_user(store: Store) -> None:
    service = store.open()
    for name, call in CALLS.items():
        ready_session(service, user_id="ada", session_id=name)
        bob = ready_session(service, user_id="bob", session_id=name)
        assert call(service, name, user_id="ada"), name
        assert service.get_session(name, user_id="bob") == bob
        service.delete_session("fork", user_id="ada")


def test_sessions_of_one_id_in_two_apps_are_told_apart_by_the_app(service: SessionService) -> None:
    coach = ready_session(service, user_id="ada", session_id="s1", app_name="coach")
    support = ready_session(service, user_id="ada", session_id="s1", app_name="support")
    service.append("s1", "for support", app_name="support")
    assert service.get_session("s1", app_name="coach") == coach
    assert service.get_session("s1", app_name="support").last_seq == support.last_seq + 1


@pytest.mark.parametrize(
    "who",
    [{}, {"user_id": "ada"}, {"user_id": "eve"}, {"app_name": "other"}],
    ids=["id alone", "its user", "another user", "another app"],
)
def test_an_unknown_session_is_not_found_by_any_method(
    service: SessionService, who: dict[str, str]
) -> None:
    ready_session(service, user_id="ada", session_id="s1")
    unknown = "s1" if "eve" in who.values() or "app_name" in who else "s2"
    for name, call in CALLS.items():
        if name == "delete_session":
            assert call(service, unknown, **who) is False
            continue
        with pytest.raises(SessionNotFoundError, match="no live session"):
            call(service, unknown, **who)
    assert service.get_session_count() == 1


BAD_IDS = [None, 7, b"s1", "", "a\nb", "nul\0", "\ud800", "x" * 256, "ä" * 128]


@pytest.mark.parametrize("bad", BAD_IDS, ids=ascii)
@pytest.mark.parametrize("part", ["session_id", "user_id", "app_name"])
def test_what_can_be_no_id_is_refused_and_reaches_no_session(
    memory: SessionService, part: str, bad: Any
) -> None:
    before = ready_session(memory, user_id="ada", session_id="s1")
    for name, call in CALLS.items():
        if part == "user_id" and bad is None:
            continue  # that is a look-up by the session's id alone
        with pytest.raises(InvalidValueError, match=f"^{part}: "):
            call(memory, **{"id_": "s1", ("id_" if part == "session_id" else part): bad})
        assert memory.get_session("s1") == before, name
    if part != "session_id" or bad is not None:  # then one is made
        with pytest.raises(InvalidValueError, match=f"^{part}: "):
            memory.create_session(**{"user_id": "ada", part: bad})
    assert memory.get_session_count() == 1


def test_any_text_without_control_characters_can_be_an_id(service: SessionService) -> None:
    ids = ["a/b", "..", "a'; DROP TABLE sessions--", "%", "_", "Ä", "A\u0308", "👍", "x" * 255, " "]
    for id_ in ids:
        service.create_session(user_id=id_, session_id=id_, app_name=id_)
    for id_ in ids:
        assert service.get_session(id_, app_name=id_).key == (id_, id_, id_)


WINDOWS: list[tuple[dict[str, Any], list[int]]] = [
    ({}, [1, 2, 3, 4, 5]),
    ({"last": 2}, [4, 5]),
    ({"last": 0}, []),
    ({"last": 9}, [1, 2, 3, 4, 5]),
    ({"after": 3}, [4, 5]),
    ({"after": 0}, [1, 2, 3, 4, 5]),
    ({"after": 5}, []),
    ({"after": 99}, []),
    ({"after": 1, "last": 2}, [4, 5]),
    ({"kind": "event"}, [2, 4]),
    ({"kind": "event", "last": 1}, [4]),
    ({"kind": "message", "after": 1, "last": 1}, [5]),
    ({"kind": "unheard"}, []),
]

WRONG_WINDOWS: list[tuple[dict[str, Any], str]] = [
    ({"last": -1}, "last"),
    ({"last": 1.0}, "last"),
    ({"last": True}, "last"),
    ({"after": -1}, "after"),
    ({"after": "2"}, "after"),
    ({"kind": ""}, "kind"),
    ({"kind": "k" * 65}, "kind"),
]


def test_the_asked_part_of_the_history_comes_in_order(service: SessionService) -> None:
    service.create_session(user_id="ada", session_id="s1")
    kinds = ["message", "event", "message", "event", "message"]
    service.append("s1", [NewEntry(payload=n, kind=kind) for n, kind in enumerate(kinds)])
    for window, expected in WINDOWS:
        session = service.get_session("s1", **window)
        assert seqs(session) == expected, window
        assert session.last_seq == 5


def test_a_part_that_cannot_be_asked_for_is_refused(service: SessionService) -> None:
    service.create_session(user_id="ada", session_id="s1")
    for window, named in WRONG_WINDOWS:
        with pytest.raises(InvalidValueError, match=f"^{named}: "):
            service.get_session("s1", **window)


def test_a_deleted_session_is_gone_with_its_history(service: SessionService) -> None:
    ready_session(service, user_id="ada", session_id="s1")
    other = ready_session(service, user_id="ada", session_id="s2")
    assert service.delete_session("s1") is True
    assert service.delete_session("s1") is False
    with pytest.raises(SessionNotFoundError):
        service.get_session("s1")
    assert service.create_session(user_id="ada", session_id="s1").entries == ()
    assert service.get_session("s1").entries == ()
    assert service.get_session("s2") == other


def test_every_write_adds_one_to_the_version_and_sets_the_time(store: Store) -> None:
    service = store.open()
    for name, call in WRITES.items():
        before = ready_session(service, user_id="ada", session_id=name)
        store.clock.advance(minutes=1)
        call(service, name)
        after = service.get_session(name)
        assert after.version == before.version + 1, name
        assert after.updated_at == store.clock.now
        assert after.created_at == before.created_at
