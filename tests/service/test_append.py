"""Appending to the history: one entry, a batch, the same again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from session_store import (
    ConflictError,
    InvalidValueError,
    NewEntry,
    SessionService,
    StaleSessionError,
)
from tests.service.support import NOON, Store, payloads, seqs


@pytest.fixture
def service(service: SessionService) -> SessionService:
    """With one session, ``s1``, that holds one entry."""
    service.create_session(user_id="ada", session_id="s1")
    service.append("s1", "first", entry_id="e1")
    return service


PAYLOADS: list[Any] = [
    {"role": "user", "text": "hello"},
    "a text is one payload, not its letters",
    "",
    0,
    1.5,
    -0.0,
    1e22,
    2**63 - 1,
    False,
    None,
    {},
    {"nested": [[], {"deep": [None, True]}]},
    {"zero": "\0", "quote": "\"'\\", "line": "\u2028", "face": "👍"},
]


def test_one_payload_becomes_one_message(service: SessionService) -> None:
    for seq, payload in enumerate(PAYLOADS, 2):
        entry = service.append("s1", payload).entry
        assert (entry.seq, entry.kind, entry.created_at) == (seq, "message", NOON)
        assert repr(entry.payload) == repr(payload)
        assert service.get_session("s1", last=1).entries == (entry,)


def test_a_list_can_be_a_payload_inside_an_entry(service: SessionService) -> None:
    assert service.append("s1", NewEntry(payload=[1, 2])).entry.payload == [1, 2]


def test_tuples_and_dict_subclasses_are_kept_as_json(service: SessionService) -> None:
    applied = service.append("s1", {"a": (1, 2), "b": OrderedDict(x=1)})
    assert applied.entry.payload == {"a": [1, 2], "b": {"x": 1}}


def test_kind_is_that_of_bare_payloads_only(service: SessionService) -> None:
    applied = service.append("s1", ["bare", NewEntry(payload="own", kind="note")], kind="event")
    assert [entry.kind for entry in applied.entries] == ["event", "note"]


def test_a_batch_is_one_change_in_its_order(service: SessionService) -> None:
    before = service.get_session("s1")
    applied = service.append("s1", [f"turn {n}" for n in range(5)])
    assert [entry.seq for entry in applied.entries] == [2, 3, 4, 5, 6]
    assert applied.version == before.version + 1
    assert {entry.version for entry in applied.entries} == {applied.version}
    assert payloads(service.get_session("s1", after=1)) == [f"turn {n}" for n in range(5)]


REFUSED: dict[str, Any] = {
    "nan": float("nan"),
    "infinity": float("-inf"),
    "65 bits": 2**63,
    "surrogate": "\ud800",
    "bytes": b"raw",
    "a time": datetime(2026, 1, 1),  # noqa: DTZ001
    "a set": {1},
    "an object": object(),
    "integer keys": {1: "one"},
}


def test_a_batch_with_one_bad_entry_writes_nothing(service: SessionService) -> None:
    before = service.get_session("s1")
    for value in REFUSED.values():
        with pytest.raises(InvalidValueError, match=r"^entries\[1\]\.payload\.a\[0\]"):
            service.append("s1", ["good", {"a": [value]}, "good"])
    assert service.get_session("s1") == before


PLACES: dict[str, Callable[[SessionService, Any], object]] = {
    "entries[0].payload": lambda s, bad: s.append("s1", bad),
    "entries[0].payload.payload": lambda s, bad: s.add_artifact("s1", "x", bad),
    "state": lambda s, bad: s.update_state("s1", bad),
    "app_state": lambda s, bad: s.update_state("s1", {}, app_state=bad),
    "user_state": lambda s, bad: s.update_state("s1", {}, user_state=bad),
    "agent_states.coach": lambda s, bad: s.update_agent_state("s1", "coach", bad),
    "metadata": lambda s, bad: s.update_session_metadata("s1", bad),
    "state ": lambda s, bad: s.create_session(user_id="ada", state=bad),
    "metadata ": lambda s, bad: s.create_session(user_id="ada", metadata=bad),
}


@pytest.mark.parametrize(("place", "call"), PLACES.items(), ids=PLACES)
def test_what_is_not_json_is_refused_wherever_it_is_given(
    service: SessionService, place: str, call: Callable[[SessionService, Any], object]
) -> None:
    before = service.get_session("s1")
    for value in REFUSED.values():
        with pytest.raises(InvalidValueError) as caught:
            call(service, {"a": [value]})
        assert caught.value.path.startswith(f"{place.strip()}.a[0]")
    assert service.get_session("s1") == before
    assert service.get_session_count() == 1
    assert service.get_shared_state() == service.get_shared_state(user_id="ada") == {}


def test_an_empty_batch_is_refused(service: SessionService) -> None:
    before = service.get_session("s1")
    empties: list[Any] = [[], ()]
    for empty in empties:
        with pytest.raises(InvalidValueError, match=r"entries: must not be empty; touch_session"):
            service.append("s1", empty)
    assert service.get_session("s1") == before


@pytest.mark.parametrize("given", ["argument", "entry", "batch"])
def test_the_same_entry_sent_again_is_stored_once(
    store: Store, service: SessionService, given: str
) -> None:
    def send() -> Any:
        if given == "argument":
            return service.append("s1", {"n": 1}, entry_id="e2")
        entry = NewEntry(payload={"n": 1}, entry_id="e2")
        return service.append("s1", [entry] if given == "batch" else entry)

    first = send()
    store.clock.advance(minutes=1)
    service.append("s1", "later")
    assert send() == first
    session = service.get_session("s1")
    assert payloads(session) == ["first", {"n": 1}, "later"]
    assert session.version == first.version + 1


def test_of_a_batch_that_is_partly_there_only_the_rest_is_stored(service: SessionService) -> None:
    batch = [NewEntry(payload=n, entry_id=f"b{n}") for n in range(4)]
    service.append("s1", batch[:2])
    applied = service.append("s1", batch)
    assert [entry.entry_id for entry in applied.entries] == ["b0", "b1", "b2", "b3"]
    assert payloads(service.get_session("s1")) == ["first", 0, 1, 2, 3]
    assert seqs(service.get_session("s1")) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    "entry",
    [
        NewEntry(payload="other", entry_id="e1"),
        NewEntry(payload="first", kind="event", entry_id="e1"),
    ],
    ids=["other payload", "other kind"],
)
def test_other_content_under_a_stored_id_is_a_conflict(
    service: SessionService, entry: NewEntry
) -> None:
    before = service.get_session("s1")
    for entries in (entry, ["new", entry]):
        with pytest.raises(ConflictError, match="use a new entry_id") as caught:
            service.append("s1", entries)
        assert caught.value.entry_id == "e1"
    assert service.get_session("s1") == before


def test_one_entry_id_cannot_name_a_batch(service: SessionService) -> None:
    with pytest.raises(InvalidValueError, match="entry_id: is for one entry"):
        service.append("s1", ["a", "b"], entry_id="e2")
    assert service.get_session("s1").last_seq == 1


def test_what_can_be_no_entry_id_is_refused(service: SessionService) -> None:
    wrong: list[Any] = ["", 7, "a\nb", "x" * 256]
    for bad in wrong:
        with pytest.raises(InvalidValueError, match="entry_id"):
            service.append("s1", "text", entry_id=bad)
    assert service.get_session("s1").last_seq == 1


def test_an_artifact_is_an_entry_with_its_type(service: SessionService) -> None:
    applied = service.add_artifact("s1", "report", {"score": 3}, entry_id="a1")
    assert applied.entry.kind == "artifact"
    assert applied.entry.payload == {"type": "report", "payload": {"score": 3}}
    assert service.add_artifact("s1", "report", {"score": 3}, entry_id="a1") == applied
    assert service.get_session("s1").artifacts == applied.entries


def test_entries_are_appended_only_to_the_expected_version(service: SessionService) -> None:
    version = service.get_session("s1").version
    service.append("s1", "second", expected_version=version)
    with pytest.raises(StaleSessionError, match=f"is at version {version + 1}, not {version}"):
        service.append("s1", "third", expected_version=version)
    assert payloads(service.get_session("s1")) == ["first", "second"]
