"""Promises about values: kept exactly or refused before any write, at the limit and one past it."""

# ruff: noqa: S101 - asserts are what tests are made of

from __future__ import annotations

from collections import OrderedDict
from enum import IntEnum, StrEnum
from typing import Any, NamedTuple

import pytest

from session_store import codec
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
    KEY,
    at,
    change,
    create,
    exact,
    listed,
    load,
    message,
    refused,
)
from session_store.testing.oddities import BAD_IDS, REFUSED, VALUES, nested

PLACES = ("state.v", "metadata.v", "agent_states.planner.v", "app_state.v", "user_state.v")


def patch_of(place: str, value: Any) -> dict[str, Any]:
    """The changes that put ``value`` at a place such as ``state.v``."""
    for step in reversed(place.split(".")):
        value = {step: value}
    changes: dict[str, Any] = value
    return changes


def sized(size: int, *, document: bool = False) -> Any:
    """A text, or a document, of exactly ``size`` bytes as JSON."""
    return {"k": "x" * (size - 8)} if document else "x" * (size - 2)


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

    @pytest.mark.parametrize("document", [[], "text", 1, [("a", 1)], {"a"}], ids=str)
    def test_a_document_is_an_object(self, repository: SessionRepository, document: object) -> None:
        with refused(repository, InvalidValueError):
            create(repository, state=document)
        create(repository)
        with refused(repository, InvalidValueError):
            change(repository, state=document or [0])
        with refused(repository, InvalidValueError):
            change(repository, agent_states={"planner": document or [0]})

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

    @pytest.mark.parametrize("payload", [nested(codec.MAX_DEPTH), nested(codec.MAX_DEPTH - 1)])
    def test_a_payload_at_the_limit_of_depth_is_kept(
        self, repository: SessionRepository, payload: Any
    ) -> None:
        create(repository)
        change(repository, entries=(message("deep", payload),))
        assert load(repository).entries[0].payload == payload

    def test_a_payload_past_the_limit_of_depth_is_refused(
        self, repository: SessionRepository
    ) -> None:
        create(repository)
        with refused(repository, InvalidValueError):
            change(repository, entries=(message("deep", nested(codec.MAX_DEPTH + 1)),))

    @pytest.mark.parametrize("place", PLACES)
    def test_a_document_can_be_so_deep_that_a_checkpoint_holds_it_and_no_deeper(
        self, repository: SessionRepository, place: str
    ) -> None:
        create(repository)
        levels = codec.MAX_DEPTH - 3 - place.count(".planner")
        with refused(repository, InvalidValueError):
            change(repository, **patch_of(place, nested(levels + 1)))
        checkpoint = NewCheckpoint(checkpoint_id="c")
        entry = change(repository, **patch_of(place, nested(levels)), checkpoint=checkpoint).entry
        create(repository, KEY._replace(session_id="copy"), history=[entry.payload])

    def test_a_payload_at_the_limit_of_size_is_kept_and_past_it_refused(
        self, repository: SessionRepository
    ) -> None:
        create(repository)
        with refused(repository, InvalidValueError) as raised:
            change(repository, entries=(message("big", sized(codec.MAX_PAYLOAD_BYTES + 1)),))
        assert "entries[0].payload" in str(raised.value)
        payload = sized(codec.MAX_PAYLOAD_BYTES)
        change(repository, entries=(message("big", payload),))
        assert load(repository).entries[0].payload == payload

    @pytest.mark.parametrize("name", ["state", "metadata", "app_state", "user_state"])
    def test_a_document_at_the_limit_of_size_is_kept_and_past_it_refused(
        self, repository: SessionRepository, name: str
    ) -> None:
        create(repository)
        with refused(repository, InvalidValueError) as raised:
            change(repository, **{name: sized(codec.MAX_DOCUMENT_BYTES + 1, document=True)})
        assert name in str(raised.value)
        change(repository, **{name: sized(codec.MAX_DOCUMENT_BYTES, document=True)})
        with refused(repository, InvalidValueError):
            change(repository, **{name: {"one more": 1}})

    def test_the_largest_documents_fit_into_a_checkpoint(
        self, repository: SessionRepository
    ) -> None:
        document = sized(codec.MAX_DOCUMENT_BYTES, document=True)
        agents = {"a": sized(codec.MAX_DOCUMENT_BYTES - 6, document=True)}
        create(repository, state=document, metadata=document, agent_states=agents)
        label = "x" * (codec.MAX_LABEL_BYTES - 2)
        checkpoint = NewCheckpoint(checkpoint_id="c", label=label)
        payload = change(repository, checkpoint=checkpoint).entry.payload
        create(repository, KEY._replace(session_id="copy"), history=[payload])
        assert load(repository, KEY._replace(session_id="copy")).entries[0].payload == payload

    @pytest.mark.parametrize("bad", BAD_IDS.values(), ids=list(BAD_IDS))
    def test_what_cannot_be_an_id_is_refused_everywhere(
        self, repository: SessionRepository, bad: Any
    ) -> None:
        create(repository)
        for part in KEY._fields:
            key = KEY._replace(**{part: bad})
            with refused(repository, InvalidValueError) as raised:
                create(repository, key)
            assert str(raised.value).startswith(part)
            for call in (load, change):
                with pytest.raises(InvalidValueError):
                    call(repository, key)
            with refused(repository, InvalidValueError):
                repository.delete(key, at())
        for changes in (
            {"entries": (NewEntry(payload=1, entry_id=bad),)},
            {"entries": (NewEntry(payload=1, entry_id="fine", kind=bad),)},
            {"checkpoint": NewCheckpoint(checkpoint_id=bad)},
            {"agent_states": {bad: {"a": 1}}},
        ):
            with refused(repository, InvalidValueError):
                change(repository, **changes)

    @pytest.mark.parametrize("letter", ["x", "é", "\U0001f600", "'"], ids=ascii)
    def test_ids_at_the_limit_of_length_are_kept(
        self, repository: SessionRepository, letter: str
    ) -> None:
        size = len(letter.encode())
        longest = letter * (codec.MAX_ID_BYTES // size) + "x" * (codec.MAX_ID_BYTES % size)
        kind = letter * (codec.MAX_KIND_BYTES // size)
        key = type(KEY)(longest, longest, longest)
        create(repository, key)
        entry = NewEntry(payload=1, entry_id=longest, kind=kind)
        change(repository, key, entries=(entry,), agent_states={longest: {"a": 1}})
        session = load(repository, key)
        assert (session.key, [*session.agent_states]) == (key, [longest])
        assert (session.entries[0].entry_id, session.entries[0].kind) == (longest, kind)

    def test_a_kind_past_the_limit_is_refused(self, repository: SessionRepository) -> None:
        create(repository)
        entry = NewEntry(payload=1, entry_id="e", kind="k" * (codec.MAX_KIND_BYTES + 1))
        with refused(repository, InvalidValueError) as raised:
            change(repository, entries=(entry,))
        assert str(raised.value).startswith("entries[0].kind")

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
