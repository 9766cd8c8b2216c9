"""Promises of ``create``."""

# ruff: noqa: S101 - asserts are what tests are made of

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from session_store.errors import ConflictError, InvalidValueError, SessionExistsError
from session_store.repository import SessionRepository
from session_store.session import SessionKey, Status
from session_store.testing.given import (
    BEGINNING,
    KEY,
    NOW,
    OTHERS,
    after,
    at,
    change,
    contents,
    create,
    exact,
    ids,
    load,
    message,
    messages,
    new_session,
    refused,
    seqs,
)

FULL: dict[str, Any] = {
    "status": Status.COMPLETED,
    "version": 7,
    "updated_at": after(50),
    "completed_at": after(40),
    "expires_at": after(60),
    "state": {"b": 1, "a": [1, 1.0, None]},
    "agent_states": {"planner": {"step": 2}, "critic": {}},
    "metadata": {"title": "Probe"},
}


class Creating:
    def test_a_created_session_is_kept_as_it_stands(self, repository: SessionRepository) -> None:
        session = new_session(history=["hi", {"text": "there"}], **FULL)
        repository.create(session, at())
        assert exact(load(repository)) == exact(session)

    def test_create_answers_with_what_it_stored(self, repository: SessionRepository) -> None:
        answer = create(repository, history=["hi"], **FULL)
        stored = load(repository)
        assert (answer.key, answer.status, answer.version) == (KEY, Status.COMPLETED, 7)
        assert answer.updated_at == after(50)
        assert answer.entries == stored.entries

    def test_a_new_session_is_empty_but_for_what_it_was_given(
        self, repository: SessionRepository
    ) -> None:
        create(repository)
        session = load(repository)
        assert (session.state, session.agent_states, session.metadata) == ({}, {}, {})
        assert (session.entries, session.last_seq) == ((), 0)
        assert (session.completed_at, session.expires_at) == (None, None)

    def test_an_existing_session_is_never_overwritten(self, repository: SessionRepository) -> None:
        create(repository, state={"mine": 1}, history=["hi"])
        with refused(repository, SessionExistsError):
            create(repository, seconds=5, state={"yours": 1}, version=9)

    def test_even_the_same_session_is_not_created_twice(
        self, repository: SessionRepository
    ) -> None:
        create(repository)
        with refused(repository, SessionExistsError):
            create(repository)

    def test_the_key_of_an_expired_session_is_free_and_its_history_gone(
        self, repository: SessionRepository
    ) -> None:
        create(repository, state={"old": 1}, history=["old", "older"], expires_at=after(10))
        repository.create(new_session(seconds=10, state={"new": 1}), at(10))
        session = load(repository)
        assert (session.state, session.entries, session.created_at) == ({"new": 1}, (), after(10))
        assert seqs(change(repository, moment=at(11), entries=messages("e1"))) == [1]

    def test_the_key_of_a_deleted_session_is_free_and_its_history_gone(
        self, repository: SessionRepository
    ) -> None:
        create(repository, history=["old", "older"])
        repository.delete(KEY, at())
        create(repository, history=["new"])
        assert [entry.payload for entry in load(repository).entries] == ["new"]

    def test_a_session_goes_on_where_its_created_history_ends(
        self, repository: SessionRepository
    ) -> None:
        create(repository, history=["one", "two"], version=4)
        answer = change(repository, entries=messages("three"))
        assert (answer.version, seqs(answer)) == (5, [3])
        assert ids(load(repository)) == ["e1", "e2", "three"]

    def test_entries_of_a_created_history_are_not_appended_again(
        self, repository: SessionRepository
    ) -> None:
        create(repository, history=["one", "two"])
        assert seqs(change(repository, entries=(message("e2", "two"),))) == [2]
        with refused(repository, ConflictError):
            change(repository, entries=(message("e2", "another"),))

    @pytest.mark.parametrize("seqs", [[2], [0], [1, 3], [2, 1], [1, 1]], ids=str)
    def test_a_history_with_gaps_is_refused(
        self, repository: SessionRepository, seqs: list[int]
    ) -> None:
        session = new_session(history=["x"] * len(seqs))
        entries = [
            entry.model_copy(update={"seq": seq, "entry_id": f"{n}"})
            for n, (seq, entry) in enumerate(zip(seqs, session.entries, strict=True))
        ]
        with refused(repository, InvalidValueError):
            repository.create(session.model_copy(update={"entries": tuple(entries)}), at())

    @pytest.mark.parametrize("last_seq", [-1, 0, 1, 3, 10**12])
    def test_a_history_that_does_not_end_at_last_seq_is_refused(
        self, repository: SessionRepository, last_seq: int
    ) -> None:
        with refused(repository, InvalidValueError):
            create(repository, history=["a", "b"], last_seq=last_seq)

    def test_a_last_seq_without_history_is_refused(self, repository: SessionRepository) -> None:
        for last_seq in (-5, 1, 10**12):
            with refused(repository, InvalidValueError):
                create(repository, last_seq=last_seq)

    def test_a_history_with_an_id_twice_is_refused(self, repository: SessionRepository) -> None:
        session = new_session(history=["a", "b"])
        twice = tuple(entry.model_copy(update={"entry_id": "x"}) for entry in session.entries)
        with refused(repository, InvalidValueError):
            repository.create(session.model_copy(update={"entries": twice}), at())

    @pytest.mark.parametrize("version", [0, -1, 2**63])
    def test_a_version_that_cannot_count_is_refused(
        self, repository: SessionRepository, version: int
    ) -> None:
        with refused(repository, InvalidValueError):
            create(repository, version=version)

    def test_a_session_of_many_entries_is_created_whole(
        self, repository: SessionRepository
    ) -> None:
        create(repository, history=range(2500))
        assert [entry.payload for entry in load(repository).entries] == list(range(2500))

    def test_equal_ids_of_other_users_and_apps_are_other_sessions(
        self, repository: SessionRepository
    ) -> None:
        keys = (KEY, *OTHERS)
        for key in keys:
            create(repository, key, state={"of": list(key)}, history=[list(key)])
        change(repository, state={"changed": True}, entries=messages("more"))
        for key in keys[1:]:
            session = load(repository, key)
            assert (session.state, session.entries[0].payload) == ({"of": [*key]}, [*key])
            assert (session.version, session.last_seq) == (1, 1)

    def test_times_come_back_as_the_same_instants_in_utc(
        self, repository: SessionRepository
    ) -> None:
        india = NOW.astimezone(timezone(timedelta(hours=5, minutes=30)))
        create(repository, created_at=india, updated_at=india, expires_at=india)
        session = load(repository)
        for time in (session.created_at, session.updated_at, session.expires_at):
            assert (time, time and time.utcoffset()) == (NOW, timedelta(0))

    @pytest.mark.parametrize("year", [1, 1582, 1969, 2262, 9999])
    def test_a_time_of_any_year_is_kept_to_the_microsecond(
        self, repository: SessionRepository, year: int
    ) -> None:
        time = datetime(year, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)
        repository.create(new_session(created_at=time, updated_at=time, expires_at=time), BEGINNING)
        session = load(repository)
        assert session.created_at == session.updated_at == session.expires_at == time

    @pytest.mark.parametrize("field", ["created_at", "updated_at", "completed_at", "expires_at"])
    def test_a_time_without_a_zone_is_refused(
        self, repository: SessionRepository, field: str
    ) -> None:
        with refused(repository, InvalidValueError) as raised:
            repository.create(new_session(**{field: NOW.replace(tzinfo=None)}), at())
        assert field in str(raised.value)

    def test_nothing_of_a_refused_creation_is_stored(self, repository: SessionRepository) -> None:
        before = contents(repository)
        with pytest.raises(InvalidValueError):
            create(repository, history=["fine", float("nan")])
        assert contents(repository) == before
        create(repository, KEY, history=["fine"])

    def test_sessions_of_equal_id_are_told_apart_by_every_part_of_the_key(
        self, repository: SessionRepository
    ) -> None:
        create(repository)
        for part in SessionKey._fields:
            create(repository, KEY._replace(**{part: "another"}), state={"of": part})
        assert load(repository).state == {}
