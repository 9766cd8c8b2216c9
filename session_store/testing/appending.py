"""Promises of ``apply`` for entries: numbered without gaps, stored once under their ids."""

# ruff: noqa: S101 - asserts are what tests are made of

from __future__ import annotations

from typing import Any

import pytest

from session_store.core.operations import MAX_ENTRIES_PER_CALL
from session_store.errors import ConflictError, InvalidValueError, StaleSessionError, TooLargeError
from session_store.repository import SessionRepository
from session_store.session import NewCheckpoint, NewEntry
from session_store.testing.given import (
    OTHERS,
    after,
    at,
    change,
    create,
    exact,
    ids,
    load,
    message,
    messages,
    refused,
    seqs,
)

OTHER_CONTENTS: dict[str, NewEntry] = {
    "another payload": message("b", "another"),
    "a payload of another type": message("b", ["b"]),
    "another kind": NewEntry(payload="b", entry_id="b", kind="event"),
}


class Appending:
    def test_entries_get_the_next_seqs_without_gaps(self, repository: SessionRepository) -> None:
        create(repository)
        assert seqs(change(repository, entries=messages("a"))) == [1]
        assert seqs(change(repository, entries=messages("b", "c"))) == [2, 3]
        change(repository, state={"no": "entry"})
        assert seqs(change(repository, entries=messages("d"))) == [4]
        assert ids(load(repository)) == ["a", "b", "c", "d"]

    def test_every_session_counts_for_itself(self, repository: SessionRepository) -> None:
        for key in OTHERS:
            create(repository, key)
            assert seqs(change(repository, key, entries=messages("a", "b"))) == [1, 2]

    def test_the_answer_holds_the_entries_as_they_are_stored(
        self, repository: SessionRepository
    ) -> None:
        create(repository)
        answer = change(repository, moment=at(3), entries=(message("a", {"text": "hi"}),))
        assert answer.entries == load(repository).entries
        assert (answer.entry.created_at, answer.entry.version) == (after(3), 2)

    def test_a_batch_keeps_the_order_in_which_it_was_given(
        self, repository: SessionRepository
    ) -> None:
        create(repository)
        names = [f"{number * 7919 % 1000:03}" for number in range(1000)]
        assert seqs(change(repository, entries=messages(*names))) == list(range(1, 1001))
        assert ids(load(repository)) == names

    def test_a_whole_repetition_answers_as_the_first_did(
        self, repository: SessionRepository
    ) -> None:
        create(repository)
        first = change(repository, moment=at(5), entries=messages("a", "b"))
        change(repository, moment=at(6), entries=messages("c"), state={"later": 1})
        before = exact(load(repository))
        assert exact(change(repository, moment=at(9), entries=messages("a", "b"))) == exact(first)
        assert exact(load(repository)) == before

    def test_a_repetition_brings_none_of_its_other_changes_again(
        self, repository: SessionRepository
    ) -> None:
        create(repository)
        changes: dict[str, Any] = {
            "entries": messages("a"),
            "state": {"n": 1},
            "app_state": {"n": 1},
            "user_state": {"n": 1},
        }
        change(repository, **changes)
        again = {"state": {"n": 2}, "app_state": {"n": 2}, "user_state": {"n": 2}}
        change(repository, **again)
        change(repository, **changes)
        assert load(repository).state == {"n": 2}
        assert repository.load_shared("app") == repository.load_shared("app", "ada") == {"n": 2}

    def test_a_repetition_is_answered_whatever_version_it_expects(
        self, repository: SessionRepository
    ) -> None:
        create(repository)
        first = change(repository, expected_version=1, entries=messages("a"))
        change(repository, entries=messages("b"))
        assert change(repository, expected_version=1, entries=messages("a")) == first

    def test_of_a_partial_repetition_only_the_new_is_stored(
        self, repository: SessionRepository
    ) -> None:
        create(repository)
        change(repository, entries=messages("a", "b"))
        answer = change(repository, entries=messages("b", "new", "a"))
        assert (answer.version, ids(answer), seqs(answer)) == (3, ["b", "new", "a"], [2, 3, 1])
        assert [entry.version for entry in answer.entries] == [2, 3, 2]
        assert ids(load(repository)) == ["a", "b", "new"]

    def test_a_partial_repetition_with_a_stale_version_writes_nothing(
        self, repository: SessionRepository
    ) -> None:
        create(repository)
        change(repository, entries=messages("a"))
        with refused(repository, StaleSessionError):
            change(repository, expected_version=1, entries=messages("a", "new"))

    def test_a_repeated_partial_repetition_answers_as_the_partial_one_did(
        self, repository: SessionRepository
    ) -> None:
        create(repository)
        change(repository, entries=messages("a"))
        first = change(repository, moment=at(5), entries=messages("a", "b"))
        change(repository, moment=at(6))
        assert change(repository, moment=at(7), entries=messages("a", "b")) == first

    @pytest.mark.parametrize("entry", OTHER_CONTENTS.values(), ids=list(OTHER_CONTENTS))
    def test_other_content_under_a_stored_id_writes_nothing(
        self, repository: SessionRepository, entry: NewEntry
    ) -> None:
        create(repository)
        change(repository, entries=messages("a", "b"))
        with refused(repository, ConflictError) as raised:
            change(repository, entries=(message("new"), entry), state={"a": 1}, app_state={"a": 1})
        assert isinstance(raised.value, ConflictError)
        assert raised.value.entry_id == "b"

    @pytest.mark.parametrize("number", [1.0, True, "1", -1])
    def test_a_number_of_another_type_is_other_content(
        self, repository: SessionRepository, number: object
    ) -> None:
        create(repository)
        change(repository, entries=(message("a", 1),))
        with refused(repository, ConflictError):
            change(repository, entries=(message("a", number),))

    def test_an_id_twice_in_one_batch_is_stored_once(self, repository: SessionRepository) -> None:
        create(repository)
        answer = change(repository, entries=messages("a", "b", "a"))
        assert (ids(answer), seqs(answer)) == (["a", "b"], [1, 2])
        assert ids(load(repository)) == ["a", "b"]

    @pytest.mark.parametrize("entry", OTHER_CONTENTS.values(), ids=list(OTHER_CONTENTS))
    def test_an_id_with_two_contents_in_one_batch_writes_nothing(
        self, repository: SessionRepository, entry: NewEntry
    ) -> None:
        create(repository)
        with refused(repository, ConflictError):
            change(repository, entries=(message("b"), entry))

    def test_an_id_is_unique_in_its_session_only(self, repository: SessionRepository) -> None:
        for number, key in enumerate(OTHERS):
            create(repository, key)
            change(repository, key, entries=(message("a", number),))
        payloads = [load(repository, key).entries[0].payload for key in OTHERS]
        assert payloads == [0, 1, 2]

    def test_ids_that_differ_in_case_or_form_are_different(
        self, repository: SessionRepository
    ) -> None:
        create(repository)
        names = ("a", "A", "a ", " a", "é", "e\u0301", "ﬁ", "fi")
        for name in names:
            change(repository, entries=messages(name))
        assert ids(load(repository)) == list(names)

    def test_an_id_that_was_rewound_is_free(self, repository: SessionRepository) -> None:
        create(repository)
        change(repository, entries=messages("a", "b"))
        change(repository, rewind_to=1)
        assert seqs(change(repository, entries=(message("b", "another"),))) == [2]

    def test_an_entry_without_an_id_is_refused(self, repository: SessionRepository) -> None:
        create(repository)
        with refused(repository, InvalidValueError) as raised:
            change(repository, entries=(message("a"), NewEntry(payload=1)))
        assert "entries[1].entry_id" in str(raised.value)

    def test_a_call_takes_so_many_entries_and_no_more(self, repository: SessionRepository) -> None:
        create(repository)
        entries = messages(*map(str, range(MAX_ENTRIES_PER_CALL + 1)))
        with refused(repository, TooLargeError):
            change(repository, entries=entries)
        assert len(change(repository, entries=entries[:-1]).entries) == MAX_ENTRIES_PER_CALL
        assert load(repository, last=0).last_seq == MAX_ENTRIES_PER_CALL

    def test_an_entry_and_a_checkpoint_cannot_share_an_id(
        self, repository: SessionRepository
    ) -> None:
        create(repository)
        entry = NewEntry(payload={}, kind="event", entry_id="c")
        with refused(repository, ConflictError):
            change(repository, entries=(entry,), checkpoint=NewCheckpoint(checkpoint_id="c"))

    def test_a_checkpoint_cannot_be_made_by_hand(self, repository: SessionRepository) -> None:
        create(repository)
        entry = NewEntry(payload={}, kind="checkpoint", entry_id="c")
        with refused(repository, InvalidValueError):
            change(repository, entries=(entry,))

    def test_several_kinds_share_one_history(self, repository: SessionRepository) -> None:
        create(repository)
        for kind in ("message", "event", "artifact", "my own kind", "Ereignis: ä"):
            change(repository, entries=(NewEntry(payload=kind, kind=kind, entry_id=kind),))
        assert [(entry.seq, entry.kind) for entry in load(repository).entries] == [
            (1, "message"),
            (2, "event"),
            (3, "artifact"),
            (4, "my own kind"),
            (5, "Ereignis: ä"),
        ]
