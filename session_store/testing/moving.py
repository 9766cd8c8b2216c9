"""Promises for who moves sessions between stores: all is listed, read and stored as it stands."""

# ruff: noqa: PLR2004, S101 - tests are made of asserts and figures

from __future__ import annotations

from collections.abc import Iterable

import pytest

from session_store.core.operations import Delete, Operation, Put, Share, checked_put
from session_store.core.queries import scan_order
from session_store.core.records import (
    EntryFields,
    EntryRecord,
    SessionRecord,
    StoredVersion,
    to_entry_record,
    to_record,
)
from session_store.errors import SessionExistsError, StaleSessionError
from session_store.repository import SessionRepository
from session_store.session import NewCheckpoint, SessionKey, Status
from session_store.testing.given import (
    BEGINNING,
    KEY,
    OTHERS,
    after,
    at,
    change,
    create,
    exact,
    load,
    message,
    messages,
    new_session,
    refused,
)
from session_store.testing.oddities import VALUES

ODD_KEYS = (
    SessionKey("a", "\U0001f600", "s"),
    SessionKey("a", "\uffff", "s"),
    SessionKey("a", "\u00e9", "s"),
    SessionKey("a", "e\u0301", "s"),
    SessionKey("a", "Z", "t"),
    SessionKey("a", "a", "S"),
    SessionKey("a b", "a", "a"),
    SessionKey("A", "a", "z"),
)


def putting(
    key: SessionKey = KEY,
    *,
    replaces: StoredVersion | None = None,
    moment: float = 0,
    **fields: object,
) -> Put:
    session = new_session(key, **fields)
    entries = tuple(map(to_entry_record, session.entries))
    return checked_put(to_record(session), entries, at(moment), replaces)


def stored(repository: SessionRepository, key: SessionKey = KEY) -> str:
    """A session as it is in the store, exactly."""
    return plain(*repository.fetch_many([key])[key])


def plain(record: SessionRecord, entries: Iterable[EntryFields]) -> str:
    """Exactly what they say, whatever kind of tuple they are."""
    return exact((record, [tuple(entry) for entry in entries]))


def state(repository: SessionRepository, key: SessionKey = KEY) -> StoredVersion:
    """What tells the session's state from any other."""
    return StoredVersion.of(repository.fetch_many([key], with_history=False)[key][0])


def scanned(repository: SessionRepository, limit: int) -> list[StoredVersion]:
    """All pages of a scan."""
    found: list[StoredVersion] = []
    while True:
        page = repository.scan(found[-1].key if found else None, limit)
        found += page
        assert len(page) <= limit
        if len(page) < limit:
            return found


class Moving:
    @pytest.mark.parametrize("limit", [1, 2, 3, 100])
    def test_a_scan_finds_all_that_is_stored_in_the_order_of_bytes(
        self, repository: SessionRepository, limit: int
    ) -> None:
        keys = (KEY, *OTHERS, *ODD_KEYS)
        for key in keys:
            create(repository, key, history="ab")
        change(repository, OTHERS[0], entries=messages("c"))
        create(repository, KEY._replace(session_id="over"), expires_at=after(-9))
        found = scanned(repository, limit)
        every = {*keys, KEY._replace(session_id="over")}
        assert [one.key for one in found] == sorted(every, key=scan_order)
        by_key = {one.key: one for one in found}
        assert by_key[KEY] == StoredVersion(KEY, 1, 2, after(0), after(0), None)
        assert by_key[OTHERS[0]] == StoredVersion(OTHERS[0], 2, 3, after(0), after(1), None)

    def test_a_scan_of_nothing_is_empty(self, repository: SessionRepository) -> None:
        assert list(repository.scan(None, 10)) == []
        create(repository)
        assert list(repository.scan(KEY, 10)) == []
        assert list(repository.scan_shared(None, 10)) == []

    def test_many_sessions_are_read_at_once_as_each_is_read_by_itself(
        self, repository: SessionRepository
    ) -> None:
        for key in (KEY, *OTHERS, *ODD_KEYS):
            create(repository, key, history=VALUES.values(), state={"v": [1.0, -0.0]})
        change(repository, checkpoint=NewCheckpoint(checkpoint_id="c"), state={"w": 1})
        create(repository, KEY._replace(session_id="over"), expires_at=after(-9), history="a")
        keys = [one.key for one in repository.scan(None, 100)]
        missing = KEY._replace(user_id="nobody")
        found = repository.fetch_many([missing, *keys])
        assert found.keys() == set(keys)
        heads = repository.fetch_many(keys, with_history=False)
        for key, (record, entries) in found.items():
            alone = repository.fetch_many([key])[key]
            assert plain(record, entries) == plain(*alone)
            assert [entry[0] for entry in entries] == list(range(1, record.last_seq + 1))
            assert exact(heads[key][0]) == exact(record)
            assert not heads[key][1]
        assert repository.fetch_many([missing]) == {}

    def test_a_session_is_put_as_it_stands(self, repository: SessionRepository) -> None:
        record = SessionRecord(
            *KEY,
            status=Status.COMPLETED.value,
            version=9,
            last_seq=2,
            created_at=after(-99),
            updated_at=after(-50),
            completed_at=after(-51),
            expires_at=after(-40),
            state='{"n":1.0,"t":"\\u0000"}',
            agent_states='{"a":{}}',
            metadata='{"title":"\u00e9"}',
        )
        entries = (
            EntryRecord(1, "x", "event", "-0.0", after(-98), 2),
            EntryRecord(2, "y", "checkpoint", '{"b":[]}', after(-97), 9),
        )
        (answer,) = repository.commit([checked_put(record, entries, at())])
        assert answer is not None
        assert (answer.version, answer.updated_at, answer.entries) == (9, after(-50), ())
        assert stored(repository) == plain(record, entries)
        change(repository, moment=BEGINNING, entries=messages("z"))
        assert load(repository).entries[-1].seq == 3

    def test_odd_values_are_put_as_they_are(self, repository: SessionRepository) -> None:
        create(repository, history=VALUES.values(), metadata={"v": [*VALUES.values()]})
        change(
            repository, checkpoint=NewCheckpoint(checkpoint_id="c"), agent_states={"a": {"b": 1}}
        )
        before = stored(repository)
        record, entries = repository.fetch_many([KEY])[KEY]
        repository.commit([Delete(KEY, at()), checked_put(record, entries, at())])
        assert stored(repository) == before

    @pytest.mark.parametrize("others", [0, 20])
    def test_what_is_there_is_not_replaced_unasked(
        self, repository: SessionRepository, others: int
    ) -> None:
        """Not even when it is expired: that is for its own application to say."""
        create(repository, history="abc", expires_at=after(-9))
        more = [putting(KEY._replace(user_id=f"u{n}"), history="x") for n in range(others)]
        now = state(repository)
        others_ = [now._replace(version=2), now._replace(created_at=after(1))]
        for replaces in (None, *others_):
            error = StaleSessionError if replaces else SessionExistsError
            with refused(repository, error):
                repository.commit([*more, putting(history="x", replaces=replaces, moment=99)])

    @pytest.mark.parametrize("others", [0, 20])
    def test_what_has_the_expected_version_is_replaced(
        self, repository: SessionRepository, others: int
    ) -> None:
        keys = [KEY._replace(user_id=f"u{n}") for n in range(others)]
        for key in (KEY, *keys[::2]):
            create(repository, key, history="abc", version=3, state={"old": 1})
        old = state(repository)
        new = [
            putting(key, history=[key.user_id], version=7, replaces=old._replace(key=key))
            for key in (*keys, KEY)
        ]
        answers = repository.commit(new)
        assert [answer and (answer.key, answer.version) for answer in answers] == [
            (key, 7) for key in (*keys, KEY)
        ]
        for key in (KEY, *keys):
            session = load(repository, key)
            assert (session.state, session.version) == ({}, 7)
            assert [entry.payload for entry in session.entries] == [key.user_id]
        assert repository.stats(at()).total_sessions == others + 1

    def test_many_are_put_in_one_commit_or_none(self, repository: SessionRepository) -> None:
        keys = [KEY._replace(session_id=f"{number}") for number in range(30)]
        create(repository, keys[20])
        with refused(repository, SessionExistsError):
            repository.commit([putting(key, history="abc") for key in keys])
        repository.delete(keys[20], at())
        operations: list[Operation] = [putting(key, history="abc") for key in keys]
        operations.insert(0, Share("app", "", '{"a":1}', at()))
        assert len(repository.commit(operations)) == 31
        assert [one.last_seq for one in repository.scan(None, 100)] == [3] * 30
        assert repository.load_shared("app") == {"a": 1}

    def test_a_session_is_put_and_then_changed_in_one_commit(
        self, repository: SessionRepository
    ) -> None:
        keys = [KEY._replace(session_id=f"{number}") for number in range(12)]
        first = [putting(key, history="a") for key in keys]
        then = [
            putting(put.key, history="bc", version=2, replaces=StoredVersion.of(put.record))
            for put in first
        ]
        repository.commit([*first, *then])
        assert {one.last_seq for one in repository.scan(None, 100)} == {2}

    def test_a_shared_document_is_set_whole(self, repository: SessionRepository) -> None:
        create(repository)
        change(repository, app_state={"a": 1}, user_state={"u": 1})
        text = '{"z":1.0,"t":"\\u0000"}'
        assert repository.commit([Share("app", "", text, at())]) == (None,)
        repository.commit([Share("other", "bob", '{"b":2}', at())])
        assert list(repository.scan_shared(None, 10)) == [
            (("app", ""), text),
            (("app", "ada"), '{"u":1}'),
            (("other", "bob"), '{"b":2}'),
        ]
        assert [*repository.scan_shared(("app", ""), 1)] == [(("app", "ada"), '{"u":1}')]
        assert [one.key for one in repository.scan(None, 10)] == [KEY]

    def test_a_session_is_deleted_in_the_expected_state_only(
        self, repository: SessionRepository
    ) -> None:
        create(repository, history="abc")
        change(repository, entries=(message("d"),))
        now = state(repository)
        for other in (now._replace(version=1), now._replace(created_at=after(-1))):
            with refused(repository, StaleSessionError):
                repository.commit([Delete(KEY, at(), expected=other)])
        (answer,) = repository.commit([Delete(KEY, at(), expected=now)])
        assert answer is not None
        assert not repository.scan(None, 10)
        assert repository.commit([Delete(KEY, at(), expected=now)]) == (None,)
