"""Promises of ``load``: what of a history it brings, and when a session is absent."""

# ruff: noqa: S101 - asserts are what tests are made of

from __future__ import annotations

from typing import Any

import pytest

from session_store.core.operations import Moment
from session_store.errors import InvalidValueError, SessionNotFoundError
from session_store.repository import SessionRepository
from session_store.session import NewCheckpoint, NewEntry
from session_store.testing.given import (
    BEGINNING,
    KEY,
    MICROSECOND,
    OTHERS,
    after,
    at,
    change,
    create,
    load,
    seqs,
)

KINDS = ("message", "event", "message", "artifact", "event", "message", "message", "event")

WINDOWS: list[tuple[dict[str, Any], list[int]]] = [
    ({}, [1, 2, 3, 4, 5, 6, 7, 8]),
    ({"last": 0}, []),
    ({"last": 1}, [8]),
    ({"last": 3}, [6, 7, 8]),
    ({"last": 8}, [1, 2, 3, 4, 5, 6, 7, 8]),
    ({"last": 99}, [1, 2, 3, 4, 5, 6, 7, 8]),
    ({"after": 0}, [1, 2, 3, 4, 5, 6, 7, 8]),
    ({"after": 5}, [6, 7, 8]),
    ({"after": 8}, []),
    ({"after": 99}, []),
    ({"kind": "event"}, [2, 5, 8]),
    ({"kind": "Event"}, []),
    ({"kind": "nothing of this kind"}, []),
    ({"after": 5, "last": 1}, [8]),
    ({"after": 5, "last": 99}, [6, 7, 8]),
    ({"after": 1, "kind": "message"}, [3, 6, 7]),
    ({"last": 2, "kind": "message"}, [6, 7]),
    ({"last": 9, "kind": "artifact"}, [4]),
    ({"after": 3, "last": 2, "kind": "message"}, [6, 7]),
    ({"after": 6, "last": 2, "kind": "message"}, [7]),
    ({"last": 2**63 - 1, "after": 2**63 - 1}, []),
]

RULES: dict[str, tuple[dict[str, Any], Moment, Moment]] = {
    "idle": ({}, at(60, idle_cutoff=0), at(60, idle_cutoff=MICROSECOND)),
    "too old": ({}, at(60, age_cutoff=0), at(60, age_cutoff=MICROSECOND)),
    "past its own end": ({"expires_at": after(60)}, at(60 - MICROSECOND), at(60)),
}
"""Why a session made at ``NOW`` expires: its fields, its last moment alive, its first dead."""

under_every_rule = pytest.mark.parametrize(
    ("fields", "alive", "dead"), RULES.values(), ids=list(RULES)
)


class Loading:
    @pytest.mark.parametrize(("window", "expected"), WINDOWS, ids=str)
    def test_a_window_brings_its_part_of_the_history_in_order(
        self, repository: SessionRepository, window: dict[str, Any], expected: list[int]
    ) -> None:
        create(repository)
        entries = [NewEntry(payload=n, kind=kind, entry_id=f"{n}") for n, kind in enumerate(KINDS)]
        change(repository, entries=entries[:5])
        change(repository, entries=entries[5:])
        session = load(repository, **window)
        assert seqs(session) == expected
        assert [entry.payload for entry in session.entries] == [seq - 1 for seq in expected]
        assert (session.last_seq, session.version) == (8, 3)

    def test_windows_count_what_is_left_after_a_rewind(self, repository: SessionRepository) -> None:
        create(repository, history="abcdef")
        change(repository, rewind_to=3)
        assert seqs(load(repository, last=2)) == [2, 3]
        assert seqs(load(repository, after=2)) == [3]

    def test_checkpoints_can_be_asked_for_by_their_kind(
        self, repository: SessionRepository
    ) -> None:
        create(repository, history="ab")
        change(repository, checkpoint=NewCheckpoint(checkpoint_id="c"))
        assert seqs(load(repository, kind="checkpoint")) == [3]

    @pytest.mark.parametrize(
        "window",
        [
            {"last": -1},
            {"after": -1},
            {"last": 1.0},
            {"last": True},
            {"after": "1"},
            {"last": 2**63},
            {"after": 2**63},
            {"kind": ""},
            {"kind": "a\0"},
            {"kind": "\ud800"},
            {"kind": "k" * 65},
            {"kind": 1},
        ],
        ids=ascii,
    )
    def test_an_impossible_window_is_refused(
        self, repository: SessionRepository, window: dict[str, Any]
    ) -> None:
        create(repository)
        with pytest.raises(InvalidValueError):
            load(repository, **window)

    def test_a_session_that_was_never_there_is_not_found(
        self, repository: SessionRepository
    ) -> None:
        with pytest.raises(SessionNotFoundError) as raised:
            load(repository)
        assert raised.value.key == KEY

    @pytest.mark.parametrize("other", OTHERS, ids=str)
    def test_a_session_of_somebody_else_looks_like_none(
        self, repository: SessionRepository, other: Any
    ) -> None:
        with pytest.raises(SessionNotFoundError) as nobodys:
            load(repository, other)
        create(repository)
        with pytest.raises(SessionNotFoundError) as somebodys:
            load(repository, other)
        assert str(somebodys.value) == str(nobodys.value)

    def test_a_missing_session_is_a_lookup_error(self, repository: SessionRepository) -> None:
        with pytest.raises(LookupError):
            load(repository)

    @under_every_rule
    def test_a_session_is_there_until_the_very_moment_it_expires(
        self,
        repository: SessionRepository,
        fields: dict[str, Any],
        alive: Moment,
        dead: Moment,
    ) -> None:
        create(repository, **fields)
        assert load(repository, moment=alive).key == KEY
        with pytest.raises(SessionNotFoundError):
            load(repository, moment=dead)

    def test_without_cutoffs_a_session_lives_for_ever(self, repository: SessionRepository) -> None:
        create(repository)
        assert load(repository, moment=at(10**9)).key == KEY

    def test_a_touched_session_is_old_but_not_idle(self, repository: SessionRepository) -> None:
        create(repository)
        change(repository, moment=at(100))
        assert load(repository, moment=at(200, idle_cutoff=50)).key == KEY
        with pytest.raises(SessionNotFoundError):
            load(repository, moment=at(200, age_cutoff=50))

    def test_what_is_loaded_is_all_of_one_session(self, repository: SessionRepository) -> None:
        for number, key in enumerate((KEY, *OTHERS)):
            create(repository, key, state={"n": number}, history=[number] * (number + 1))
        for number, key in enumerate((KEY, *OTHERS)):
            session = load(repository, key)
            assert [entry.payload for entry in session.entries] == [number] * (number + 1)

    def test_an_entry_says_when_and_with_which_version_it_came(
        self, repository: SessionRepository
    ) -> None:
        create(repository, history=["first"])
        change(repository, moment=at(5), entries=(NewEntry(payload="x", entry_id="x"),))
        first, second = load(repository, moment=BEGINNING).entries
        assert (first.created_at, first.version) == (after(0), 1)
        assert (second.created_at, second.version) == (after(5), 2)
        assert (second.kind, second.payload, second.entry_id) == ("message", "x", "x")
