"""A copy holds what its source holds, from any store to any other; what differs is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from session_store.backends.memory import MemoryRepository
from session_store.core.operations import Put
from session_store.core.records import StoredVersion
from session_store.errors import StoreUnavailableError, TransferError
from session_store.repository import SessionRepository
from session_store.session import SessionKey
from session_store.testing.given import KEY, OTHERS, after, at, change, create, load, messages
from session_store.transfer import copying
from session_store.transfer.copying import CopyReport, copy_sessions
from session_store.transfer.sessions import Batches, paired
from tests.conftest import BACKENDS
from tests.servers.stores import PostgresStore
from tests.service.support import Wrapped
from tests.transfer.support import DURABLE, LONG, Failing, held, many, raw, stock

PAIRS = list(permutations(DURABLE, 2))


@pytest.fixture(params=PAIRS, ids=["-to-".join(pair) for pair in PAIRS])
def pair(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[SessionRepository, SessionRepository]]:
    with (
        _open(request, request.param[0], tmp_path / "source") as source,
        _open(request, request.param[1], tmp_path / "destination") as destination,
    ):
        yield source, destination


def _open(request: pytest.FixtureRequest, kind: str, directory: Path) -> SessionRepository:
    directory.mkdir()
    if kind == "postgresql":
        store: PostgresStore = request.getfixturevalue("postgres_store")
        return store.open_in(directory)
    return BACKENDS[kind].open_in(directory)


@pytest.fixture
def source() -> MemoryRepository:
    repository = MemoryRepository()
    stock(repository)
    return repository


@pytest.fixture
def destination() -> MemoryRepository:
    return MemoryRepository()


def test_all_that_is_stored_is_copied_in_every_direction(
    pair: tuple[SessionRepository, SessionRepository],
) -> None:
    source, destination = pair
    stock(source)
    before = held(source)
    report = copy_sessions(source, destination)
    assert held(source) == before
    assert held(destination) == before
    assert (report.sessions, report.copied, report.shared) == (8, 8, 2)
    assert destination.stats(at()).total_sessions == 8
    assert destination.stats(at()).active_sessions == source.stats(at()).active_sessions


def test_a_copy_catches_up_by_being_made_again(
    pair: tuple[SessionRepository, SessionRepository],
) -> None:
    source, destination = pair
    stock(source)
    copy_sessions(source, destination)
    change(source, entries=messages("new"), app_state={"more": 1}, state={"w": 2})
    change(source, LONG, rewind_to=5, entries=messages("other"))
    create(source, KEY._replace(session_id="born"), history="ab")
    report = copy_sessions(source, destination)
    assert (report.copied, report.removed, report.shared) == (3, 0, 1)
    assert held(destination) == held(source)
    report = copy_sessions(source, destination)
    assert (report.copied, report.compared, report.rounds) == (0, 9, 2)


def test_a_copied_session_goes_on_as_it_was(
    pair: tuple[SessionRepository, SessionRepository],
) -> None:
    source, destination = pair
    create(source, history="ab")
    change(source, entries=messages("known"))
    copy_sessions(source, destination)
    for repository in pair:
        change(repository, moment=at(9), entries=messages("known"))
        answer = change(repository, moment=at(9), entries=messages("next"), expected_version=2)
        assert (answer.version, answer.entry.seq) == (3, 4)
    assert held(destination) == held(source)


def test_what_was_deleted_since_is_refused_or_deleted_when_asked(
    source: MemoryRepository, destination: MemoryRepository
) -> None:
    """The copy can't know whether the destination has it from this source."""
    copy_sessions(source, destination)
    source.delete(LONG, at())
    before = held(destination)
    with pytest.raises(TransferError, match=r"holds 1 that the source does not have.*'long'"):
        copy_sessions(source, destination)
    assert held(destination) == before
    assert copy_sessions(source, destination, delete=True).removed == 1
    assert held(destination) == held(source)


def test_a_destination_with_sessions_of_its_own_is_refused(
    source: MemoryRepository, destination: MemoryRepository
) -> None:
    create(destination, KEY._replace(user_id="own"))
    before = held(destination)
    with pytest.raises(TransferError, match="'own'"):
        copy_sessions(source, destination)
    assert held(destination) == before


def test_a_destination_with_shared_documents_of_its_own_is_refused(
    source: MemoryRepository, destination: MemoryRepository
) -> None:
    with MemoryRepository() as other:
        create(other, KEY._replace(app_name="their app"))
        change(other, KEY._replace(app_name="their app"), app_state={"a": 1})
        other.delete(KEY._replace(app_name="their app"), at())
        before = held(other)
        with pytest.raises(TransferError, match="shared document of"):
            copy_sessions(source, other)
        assert held(other) == before


def other_session(repository: SessionRepository, **fields: Any) -> None:
    """One that has the key of another of the source."""
    create(repository, OTHERS[1], history="own", **fields)


def test_another_session_of_the_same_key_is_refused(
    source: MemoryRepository, destination: MemoryRepository
) -> None:
    other_session(destination, seconds=7)
    before = held(destination)
    with pytest.raises(TransferError, match=r"1 that are not from this source.*'bob'"):
        copy_sessions(source, destination)
    assert held(destination) == before


def test_a_session_that_went_on_at_the_destination_is_refused(
    source: MemoryRepository, destination: MemoryRepository
) -> None:
    copy_sessions(source, destination)
    change(destination, entries=messages("mine"))
    before = held(destination)
    with pytest.raises(TransferError, match="'s1'"):
        copy_sessions(source, destination)
    assert held(destination) == before


@pytest.mark.parametrize(
    ("policy", "seconds", "kept"),
    [("skip", 7, True), ("replace", 7, False), ("newer", 7, True), ("newer", -7, False)],
)
def test_another_session_of_the_same_key_stays_or_goes_as_asked(
    source: MemoryRepository,
    destination: MemoryRepository,
    policy: Any,
    seconds: int,
    kept: bool,
) -> None:
    other_session(destination, seconds=seconds)
    report = copy_sessions(source, destination, on_conflict=policy)
    assert (report.kept, report.copied) == ((1, 7) if kept else (0, 8))
    payloads = [entry.payload for entry in load(destination, OTHERS[1]).entries]
    assert (payloads == [*"own"]) is kept


def test_a_copy_that_broke_off_goes_on_where_it_was(destination: MemoryRepository) -> None:
    with MemoryRepository() as source:
        many(source, 2000)
        with pytest.raises(StoreUnavailableError):
            copy_sessions(source, Failing(destination))
        there = len(held(destination))
        assert 0 < there < 2000
        report = copy_sessions(source, destination)
        assert (report.copied, report.compared) == (2000 - there, there)
        assert held(destination) == held(source)


# A source in use ----------------------------------------------------------------------------------


class Busy(Wrapped):
    """Somebody writes to the store whenever sessions were read from it, until ``stopped``."""

    def __init__(self, inner: SessionRepository) -> None:
        super().__init__(inner)
        self.number, self.stopped = 0, False

    def fetch_many(self, keys: Any, **options: Any) -> Any:
        found = super().fetch_many(keys, **options)
        if not self.stopped:
            self.write()
        return found

    def write(self) -> None:
        self.number += 1
        name = f"{self.number:05}"
        create(self.inner, KEY._replace(session_id=f"b{name}"), history="x")
        change(self.inner, LONG, entries=messages(name), app_state={"n": name})
        if self.number == 3:
            self.inner.delete(OTHERS[2], at())


def test_a_source_in_use_is_whole_at_the_destination_after_the_freeze(
    source: MemoryRepository, destination: MemoryRepository
) -> None:
    busy = Busy(source)
    frozen: list[int] = []

    def freeze() -> None:
        busy.write()
        busy.stopped = True
        frozen.append(len(held(destination)))

    report = copy_sessions(busy, destination, freeze=freeze)
    assert held(destination) == held(source)
    assert frozen
    assert report.rounds >= 3
    assert report.removed <= 1
    assert report.sessions == len(keys_of(source))


def keys_of(repository: SessionRepository) -> list[SessionKey]:
    return [stamp.key for stamp in repository.scan(None, 1000)]


def test_the_application_is_stopped_only_when_little_is_left(
    destination: MemoryRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "FEW", 5)
    with MemoryRepository() as source:
        many(source, 100)
        left = []

        def freeze() -> None:
            stored = {stamp.key: stamp for stamp in destination.scan(None, 1000)}
            left.append(sum(stored.get(one.key) != one for one in source.scan(None, 1000)))

        copy_sessions(source, destination, freeze=freeze)
        assert left == [0]
        assert held(destination) == held(source)


def test_a_source_that_never_rests_ends_in_an_error(
    source: MemoryRepository, destination: MemoryRepository
) -> None:
    with pytest.raises(TransferError, match="being written to"):
        copy_sessions(Busy(source), destination)


def test_a_session_deleted_and_made_anew_meanwhile_is_the_new_one(
    source: MemoryRepository, destination: MemoryRepository
) -> None:
    def freeze() -> None:
        source.delete(KEY, at())
        create(source, KEY, seconds=50, history="new")

    copy_sessions(source, destination, freeze=freeze)
    assert held(destination) == held(source)


OWN = KEY._replace(user_id="own")
WRITES: dict[str, Callable[[SessionRepository], object]] = {
    "a change": lambda destination: change(destination, entries=messages("mine")),
    "a new session": lambda destination: create(destination, OWN, history="mine"),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=list(WRITES))
def test_somebody_who_writes_to_the_destination_is_not_overwritten(
    source: MemoryRepository,
    destination: MemoryRepository,
    write: Callable[[SessionRepository], object],
) -> None:
    def freeze() -> None:
        write(destination)
        written.extend(held(destination))

    written: list[str] = []
    with pytest.raises(TransferError, match="somebody else"):
        copy_sessions(source, destination, freeze=freeze)
    assert held(destination) == written


# Verification -------------------------------------------------------------------------------------


class Lossy(Wrapped):
    """A store that keeps something else than it is given."""

    def commit(self, operations: Any) -> Any:
        return super().commit([self._damaged(one) for one in operations])

    def _damaged(self, operation: Any) -> Any:
        if not isinstance(operation, Put) or operation.key != LONG:
            return operation
        changed = operation.entries[7]._replace(payload='"other"')
        entries = (*operation.entries[:7], changed, *operation.entries[8:])
        return Put(operation.record, entries, operation.at, operation.replaces)


def test_what_was_not_stored_as_it_was_sent_is_told_by_name(
    source: MemoryRepository, destination: MemoryRepository
) -> None:
    with pytest.raises(TransferError, match=r"1 sessions are not the same.*'long'"):
        copy_sessions(source, Lossy(destination))


def test_a_difference_behind_the_same_version_is_found(
    source: MemoryRepository, destination: MemoryRepository
) -> None:
    copy_sessions(source, destination)
    record, entries = raw(destination, LONG)
    changed = (entries[0]._replace(payload='"other"'), *entries[1:])
    destination.commit([Put(record, changed, at(), StoredVersion.of(record))])
    with pytest.raises(TransferError, match=r"not the same.*'long'"):
        copy_sessions(source, destination)
    assert copy_sessions(source, destination, verify=False).compared == 0


def test_another_layout_of_the_same_json_is_no_difference(
    source: MemoryRepository, destination: MemoryRepository
) -> None:
    record, entries = raw(source)
    by_hand = record._replace(metadata='{ "n": 1,\n "m": 2 }')
    source.commit([Put(by_hand, entries, at(), StoredVersion.of(record))])
    copy_sessions(source, destination)
    assert load(destination).metadata == {"n": 1, "m": 2}
    assert copy_sessions(source, destination).copied == 0


def test_a_session_that_no_store_would_take_is_told_by_name(
    source: MemoryRepository, destination: MemoryRepository
) -> None:
    record, entries = raw(source)
    source.commit([Put(record._replace(state="[1]"), entries, at(), StoredVersion.of(record))])
    with pytest.raises(TransferError, match=r"'s1'.*state"):
        copy_sessions(source, destination)


# Parts --------------------------------------------------------------------------------------------


def test_scans_are_paired_by_key() -> None:
    def stamp(name: str) -> StoredVersion:
        return StoredVersion(KEY._replace(session_id=name), 1, 0, after(0), after(0), None)

    pairs = paired(map(stamp, "abdf"), map(stamp, "bcdeg"))
    names = [tuple(one and one.key.session_id for one in pair) for pair in pairs]
    assert names == [
        ("a", None),
        ("b", "b"),
        (None, "c"),
        ("d", "d"),
        (None, "e"),
        ("f", None),
        (None, "g"),
    ]


@pytest.mark.parametrize("sizes", [[], [0], [10_000], [1] * 2000, [100_000, 1, 1, 100_000]])
def test_batches_hold_all_in_order_and_are_bounded(sizes: list[int]) -> None:
    batches = list(Batches[int](lambda size: size).of(sizes))
    assert [size for batch in batches for size in batch] == sizes
    assert all(len(batch) == 1 or sum(batch) <= 8000 for batch in batches)
    assert all(len(batch) <= 500 for batch in batches)


def test_progress_goes_to_the_end(source: MemoryRepository, destination: MemoryRepository) -> None:
    told: list[tuple[int, int]] = []
    report = copy_sessions(source, destination, on_progress=lambda *one: told.append(one))
    total = report.sessions + report.entries
    assert told[-1] == (total, total)
    assert told == sorted(told)


def test_an_empty_store_is_copied(destination: MemoryRepository) -> None:
    with MemoryRepository() as empty:
        assert copy_sessions(empty, destination) == CopyReport(rounds=2)
