"""Promises about values: kept exactly, or refused before anything is written."""

# ruff: noqa: S101 - asserts are what tests are made of

from __future__ import annotations

from collections import OrderedDict
from enum import IntEnum, StrEnum
from typing import Any, NamedTuple

import pytest

from session_store.errors import InvalidValueError
from session_store.repository import SessionRepository
from session_store.session import (
    REMOVED,
    Documents,
    NewCheckpoint,
    NewEntry,
    Restored,
    Status,
)
from session_store.testing.given import (
    change,
    create,
    exact,
    listed,
    load,
    message,
    refused,
)
from session_store.testing.oddities import REFUSED, VALUES

PLACES = ("state.v", "metadata.v", "agent_states.planner.v", "app_state.v", "user_state.v")


def patch_of(place: str, value: Any) -> dict[str, Any]:
    """The changes that put ``value`` at a place such as ``state.v``."""
    for step in reversed(place.split(".")):
        value = {step: value}
    changes: dict[str, Any] = value
    return changes


class Colour(StrEnum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


class Point(NamedTuple):
    x: int
    y: float


class Keeping:
    @pytest.mark.parametrize("value", VALUES.values(), ids=list(VALUES))
    def test_an_odd_value_comes_back_identical(
        self, repository: SessionRepository, value: Any
    ) -> None:
        document = {"v": value}
        create(
            repository,
            history=[value],
            state=document,
            agent_states={"planner": document},
            metadata=document,
        )
        changes = {"state": {"w": value}, "app_state": document, "user_state": document}
        checkpoint = NewCheckpoint(checkpoint_id="c")
        entry = NewEntry(payload=value, entry_id="n")
        answer = change(repository, entries=(entry,), checkpoint=checkpoint, **changes)
        session = load(repository)
        (head,) = listed(repository)
        payloads = [stored.payload for stored in (*session.entries[:2], answer.entry)]
        documents = [session.agent_states["planner"], session.metadata, head.metadata]
        shared = [repository.load_shared("app"), repository.load_shared("app", "ada")]
        assert [*map(exact, payloads)] == [exact(value)] * 3
        assert [*map(exact, documents + shared)] == [exact(document)] * 5
        assert exact(session.state) == exact({"v": value, "w": value})
        assert exact(session.entries[2].payload["state"]) == exact(session.state)

    @pytest.mark.parametrize(("value", "path"), REFUSED.values(), ids=list(REFUSED))
    def test_a_value_that_is_no_json_is_refused_with_its_place(
        self, repository: SessionRepository, value: Any, path: str
    ) -> None:
        create(repository, state={"v": 1})
        for place in PLACES:
            with refused(repository, InvalidValueError) as raised:
                change(repository, **patch_of(place, value), entries=(message("fine"),))
            assert str(raised.value).startswith(place + path)
        entries = (message("fine"), NewEntry(payload=value, entry_id="n"))
        with refused(repository, InvalidValueError) as raised:
            change(repository, entries=entries, state={"fine": 1})
        assert str(raised.value).startswith("entries[1].payload" + path)

    @pytest.mark.parametrize(("value", "path"), REFUSED.values(), ids=list(REFUSED))
    def test_a_session_with_such_a_value_is_not_created(
        self, repository: SessionRepository, value: Any, path: str
    ) -> None:
        agents = {"planner": {"v": value}}
        for name, document in {"state": {"v": value}, "agent_states": agents}.items():
            with refused(repository, InvalidValueError) as raised:
                create(repository, **{name: document})
            assert str(raised.value).startswith(name)
        with refused(repository, InvalidValueError):
            create(repository, history=["fine", value])

    @pytest.mark.parametrize("key", [1, None, True, 1.5, (1,), b"a", "\ud800"], ids=ascii)
    @pytest.mark.parametrize("document", ["state", "metadata", "app_state", "user_state"])
    def test_a_key_that_is_no_text_is_refused(
        self, repository: SessionRepository, document: str, key: object
    ) -> None:
        create(repository)
        for value in (1, REMOVED):
            with refused(repository, InvalidValueError) as raised:
                change(repository, **{document: {"fine": 1, key: value}})
            assert str(raised.value).startswith(document)

    @pytest.mark.parametrize("document", [None, [], "", "text", 0, [("a", 1)], {"a"}], ids=repr)
    def test_a_document_is_an_object(self, repository: SessionRepository, document: object) -> None:
        with refused(repository, InvalidValueError):
            create(repository, state=document)
        create(repository)
        with refused(repository, InvalidValueError):
            change(repository, state=document)
        with refused(repository, InvalidValueError):
            change(repository, agent_states={"planner": document})

    def test_an_agent_has_a_document_and_no_other_value(
        self, repository: SessionRepository
    ) -> None:
        others: list[Any] = [1, None, [], "text"]
        for value in others:
            with refused(repository, InvalidValueError) as raised:
                create(repository, agent_states={"planner": value})
            assert str(raised.value).startswith("agent_states.planner")

    def test_a_value_that_cannot_be_restored_is_refused(
        self, repository: SessionRepository
    ) -> None:
        create(repository)
        for name in Documents.model_fields:
            documents = Documents().model_copy(update={name: {"v": {"w": float("nan")}}})
            with refused(repository, InvalidValueError):
                change(repository, restore=Restored(status=Status.RUNNING, documents=documents))

    def test_what_extends_a_json_type_is_kept_as_that_type(
        self, repository: SessionRepository
    ) -> None:
        create(repository)
        value = {"t": (1, 2), "p": Point(1, 2.0), "s": Colour.RED, "i": Level.HIGH, Colour.RED: 1}
        change(repository, state=OrderedDict(value), entries=(message("m", value),))
        expected = {"t": [1, 2], "p": [1, 2.0], "s": "red", "i": 3, "red": 1}
        session = load(repository)
        assert exact(session.state) == exact(session.entries[0].payload) == exact(expected)

    def test_what_a_caller_passed_in_may_be_changed_afterwards(
        self, repository: SessionRepository
    ) -> None:
        value: dict[str, Any] = {"a": [1]}
        documents = {"state": {"v": value}, "metadata": value, "agent_states": {"p": value}}
        create(repository, history=[value], **documents)
        shared = {"app_state": value, "user_state": value}
        change(repository, state={"w": value}, entries=(message("m", value),), **shared)
        before = exact([load(repository), repository.load_shared("app")])
        value["a"].append(2)
        value["b"] = 3
        assert exact([load(repository), repository.load_shared("app")]) == before
        assert repository.load_shared("app", "ada") == {"a": [1]}

    def test_what_a_caller_restored_may_be_changed_afterwards(
        self, repository: SessionRepository
    ) -> None:
        create(repository)
        documents = Documents(state={"v": [1]}, agent_states={"p": {"v": [1]}})
        change(repository, restore=Restored(status=Status.RUNNING, documents=documents))
        documents.state["v"].append(2)
        documents.agent_states["p"]["v"].append(2)
        session = load(repository)
        assert (session.state, session.agent_states) == ({"v": [1]}, {"p": {"v": [1]}})

    def test_what_a_caller_got_back_may_be_changed(self, repository: SessionRepository) -> None:
        create(repository, history=[[1]], state={"v": [1]}, agent_states={"p": {"v": [1]}})
        answer = change(repository, entries=(message("m", [1]),), app_state={"v": [1]})
        before = exact([load(repository), repository.load_shared("app")])
        session, (head,) = load(repository), listed(repository)
        for value in (session, head):
            value.state["v"].append(2)
            value.agent_states["p"]["new"] = 1
        for entry in (*session.entries, *answer.entries):
            entry.payload.append(2)
        repository.load_shared("app")["v"].append(2)
        assert exact([load(repository), repository.load_shared("app")]) == before
