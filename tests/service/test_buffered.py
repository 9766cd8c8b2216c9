"""``auto_save=False``: changes wait in memory until they are saved, all or none."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import timedelta

import pytest

from session_store import (
    ConflictError,
    DurabilityUnknownError,
    IllegalTransitionError,
    InvalidValueError,
    NewEntry,
    SessionExistsError,
    SessionNotFoundError,
    SessionService,
    SessionStoreError,
    StaleSessionError,
    Status,
    StoreUnavailableError,
)
from session_store.core.decisions import SharedScope
from session_store.core.operations import Operation
from session_store.session import Applied
from tests.service.support import (
    WRITES,
    FakeClock,
    Store,
    Wrapped,
    create_many,
    ids,
    payloads,
    ready_session,
    seqs,
)


def unsaved(service: SessionService) -> int:
    count = service.get_storage_stats()["unsaved_changes"]
    assert isinstance(count, int)
    return count


@pytest.fixture
def store(durable: Store) -> Store:
    return durable


@pytest.fixture
def direct(store: Store) -> SessionService:
    """Saves at once, and sees only what is saved."""
    return store.open()


@pytest.fixture
def buffered(store: Store) -> SessionService:
    return store.open(auto_save=False)


def test_changes_are_read_at_once_and_stored_by_force_save(
    buffered: SessionService, direct: SessionService
) -> None:
    for name, call in WRITES.items():
        ready_session(buffered, user_id="ada", session_id=name)
        call(buffered, name)
    read = {name: buffered.get_session(name) for name in WRITES}
    assert direct.get_session_count() == 0
    assert buffered.get_session_count() == len(WRITES)
    assert unsaved(buffered) == 3 * len(WRITES)
    assert buffered.force_save() == 3 * len(WRITES)
    assert {name: direct.get_session(name) for name in WRITES} == read
    assert {name: buffered.get_session(name) for name in WRITES} == read
    assert unsaved(buffered) == buffered.force_save() == 0


def test_stored_sessions_are_changed_and_removed_in_memory_first(
    buffered: SessionService, direct: SessionService
) -> None:
    kept, gone = (ready_session(direct, user_id="ada", session_id=id_) for id_ in ("s1", "s2"))
    applied = buffered.append("s1", "waits")
    buffered.delete_session("s2")
    assert buffered.get_session("s1").entries == (*kept.entries, applied.entry)
    assert ids(buffered.list_sessions().sessions) == ["s1"]
    assert direct.get_session("s1") == kept
    assert direct.get_session("s2") == gone
    buffered.force_save()
    assert direct.get_session("s1") == buffered.get_session("s1")
    assert ids(direct.list_sessions().sessions) == ["s1"]


def test_with_auto_save_there_is_nothing_to_save(direct: SessionService) -> None:
    direct.create_session(user_id="ada")
    assert direct.force_save() == unsaved(direct) == 0


def test_the_statistics_say_whether_changes_are_saved_at_once(
    buffered: SessionService, direct: SessionService
) -> None:
    assert buffered.get_storage_stats()["auto_save"] is False
    assert direct.get_storage_stats()["auto_save"] is True


def test_shared_documents_wait_too(buffered: SessionService, direct: SessionService) -> None:
    buffered.create_session(user_id="ada", session_id="s1")
    buffered.update_state("s1", {}, app_state={"theme": "dark"}, user_state={"name": "Ada"})
    assert buffered.get_shared_state() == {"theme": "dark"}
    assert direct.get_shared_state() == direct.get_shared_state(user_id="ada") == {}
    buffered.force_save()
    assert direct.get_shared_state() == {"theme": "dark"}
    assert direct.get_shared_state(user_id="ada") == {"name": "Ada"}


def test_shared_documents_are_merged_with_what_others_saved(
    buffered: SessionService, direct: SessionService
) -> None:
    ready_session(direct, user_id="ada", session_id="s1")
    buffered.update_state("s1", {}, app_state={"ours": 1})
    direct.update_state("s1", {}, app_state={"theirs": 1})
    buffered.force_save()
    assert buffered.get_shared_state() == {"theirs": 1, "ours": 1}


def test_versions_count_on_and_are_checked(
    buffered: SessionService, direct: SessionService
) -> None:
    version = ready_session(direct, user_id="ada", session_id="s1").version
    for step in range(1, 4):
        applied = buffered.append("s1", step, expected_version=version + step - 1)
        assert applied.version == version + step
    with pytest.raises(StaleSessionError):
        buffered.append("s1", "late", expected_version=version)
    assert unsaved(buffered) == 3
    buffered.force_save()
    assert direct.get_session("s1").version == version + 3


def test_times_are_those_of_the_change_not_of_the_save(
    store: Store, buffered: SessionService, direct: SessionService
) -> None:
    created = buffered.create_session(user_id="ada", session_id="s1")
    store.clock.advance(hours=1)
    applied = buffered.append("s1", "hello")
    store.clock.advance(hours=1)
    buffered.force_save()
    stored = direct.get_session("s1")
    assert (stored.created_at, stored.updated_at) == (created.created_at, applied.updated_at)
    assert stored.entries == applied.entries


def test_the_work_of_others_is_merged_when_it_is_saved(
    buffered: SessionService, direct: SessionService
) -> None:
    ready_session(direct, user_id="ada", session_id="s1")
    buffered.append("s1", "ours")
    buffered.update_state("s1", {"ours": 1})
    direct.append("s1", "theirs")
    direct.update_state("s1", {"theirs": 1})
    buffered.force_save()
    session = buffered.get_session("s1")
    assert session == direct.get_session("s1")
    assert payloads(session)[1:] == ["theirs", "ours"]
    assert seqs(session) == [1, 2, 3]
    assert session.state == {"step": 1, "theirs": 1, "ours": 1}


def test_two_buffers_of_one_store_merge_in_the_order_of_saving(store: Store) -> None:
    first, second = (store.open(auto_save=False) for _ in range(2))
    ready_session(first, user_id="ada", session_id="s1")
    first.force_save()
    for number in range(3):
        first.append("s1", f"first {number}")
        second.append("s1", f"second {number}")
    second.force_save()
    first.force_save()
    session = second.get_session("s1")
    assert payloads(session)[1:] == [f"{who} {n}" for who in ("second", "first") for n in range(3)]
    assert seqs(session) == [1, 2, 3, 4, 5, 6, 7]


def test_untouched_sessions_are_always_read_from_the_store(
    buffered: SessionService, direct: SessionService
) -> None:
    ready_session(direct, user_id="ada", session_id="s1")
    buffered.create_session(user_id="ada", session_id="s2")
    direct.append("s1", "news")
    assert payloads(buffered.get_session("s1"))[1:] == ["news"]


def test_pages_are_full_although_the_buffer_removed_what_the_store_lists_first(
    buffered: SessionService, direct: SessionService
) -> None:
    newest_first = create_many(direct, 10)[::-1]
    for session_id in newest_first[:5]:
        buffered.delete_session(session_id)
    pages = [ids(page.sessions) for page in buffered.pages(limit=2)]
    assert pages == [newest_first[5:7], newest_first[7:9], newest_first[9:]]


def test_an_entry_sent_again_is_stored_once(
    buffered: SessionService, direct: SessionService
) -> None:
    buffered.create_session(user_id="ada", session_id="s1")
    first = buffered.append("s1", "once", entry_id="e1")
    assert buffered.append("s1", "once", entry_id="e1") == first
    buffered.force_save()
    assert buffered.append("s1", "once", entry_id="e1") == first
    buffered.force_save()
    assert payloads(direct.get_session("s1")) == ["once"]


REFUSED: dict[str, tuple[type[SessionStoreError], Callable[[SessionService], object]]] = {
    "stale": (StaleSessionError, lambda s: s.append("s1", "x", expected_version=99)),
    "illegal": (IllegalTransitionError, lambda s: s.resume_session("s2")),
    "conflict": (ConflictError, lambda s: s.create_checkpoint("s1", checkpoint_id="e1")),
    "exists": (SessionExistsError, lambda s: s.create_session(user_id="ada", session_id="s1")),
    "invalid": (InvalidValueError, lambda s: s.append("s1", {1})),
    "missing": (SessionNotFoundError, lambda s: s.append("s3", "x", user_id="ada")),
}


@pytest.mark.parametrize(("error", "call"), REFUSED.values(), ids=REFUSED)
def test_a_refused_change_leaves_no_trace_in_the_buffer(
    buffered: SessionService,
    direct: SessionService,
    error: type[SessionStoreError],
    call: Callable[[SessionService], object],
) -> None:
    """Above all no stale copy: what others save afterwards is seen."""
    for session_id in ("s1", "s2"):
        ready_session(direct, user_id="ada", session_id=session_id)
        direct.append(session_id, "old", entry_id="e1")
    with pytest.raises(error):
        call(buffered)
    assert unsaved(buffered) == 0
    for session_id in ("s1", "s2", "s3"):
        if session_id == "s3":
            direct.create_session(user_id="ada", session_id=session_id)
        direct.append(session_id, "news")
        assert buffered.get_session(session_id, user_id="ada") == direct.get_session(session_id)


def test_deleting_what_is_not_there_leaves_no_trace_either(
    buffered: SessionService, direct: SessionService
) -> None:
    assert buffered.delete_session("s1", user_id="ada") is False
    created = direct.create_session(user_id="ada", session_id="s1")
    assert buffered.get_session("s1") == created
    assert unsaved(buffered) == 0


def test_a_session_created_and_deleted_in_the_buffer_never_reaches_the_store(
    buffered: SessionService, direct: SessionService
) -> None:
    buffered.create_session(user_id="ada", session_id="s1")
    buffered.append("s1", "gone")
    assert buffered.delete_session("s1") is True
    theirs = ready_session(direct, user_id="ada", session_id="s1")
    assert buffered.force_save() == 0
    assert direct.get_session("s1") == theirs


def test_a_deletion_at_a_version_of_the_buffer_holds_for_the_store(
    buffered: SessionService, direct: SessionService
) -> None:
    for session_id in ("kept", "gone"):
        direct.create_session(user_id="ada", session_id=session_id)
        version = buffered.append(session_id, "unsaved").version
        assert buffered.delete_session(session_id, expected_version=version) is True
    direct.append("kept", "theirs")
    with pytest.raises(StaleSessionError) as caught:
        buffered.force_save()
    assert caught.value.key.session_id == "kept"
    buffered.discard_unsaved("kept", user_id="ada")
    assert (buffered.force_save(), payloads(direct.get_session("kept"))) == (1, ["theirs"])
    with pytest.raises(SessionNotFoundError):
        direct.get_session("gone")


def test_shared_documents_outlive_a_session_deleted_in_the_buffer(
    buffered: SessionService, direct: SessionService
) -> None:
    ready_session(direct, user_id="ada", session_id="s1")
    for session_id in ("s1", "s2"):
        if session_id == "s2":
            buffered.create_session(user_id="ada", session_id=session_id)
        buffered.update_state(session_id, {}, app_state={session_id: 1})
        buffered.append(session_id, "gone")
        buffered.delete_session(session_id)
    buffered.force_save()
    assert direct.get_shared_state() == {"s1": 1, "s2": 1}
    assert direct.get_session_count() == 0


CONFLICTS: dict[
    str,
    tuple[
        Callable[[SessionService], object],
        Callable[[SessionService], object],
        type[SessionStoreError],
    ],
] = {
    "deleted by others": (
        lambda s: s.append("s1", "ours"),
        lambda s: s.delete_session("s1"),
        SessionNotFoundError,
    ),
    "deleted and created anew by others": (
        lambda s: s.append("s1", "ours", expected_version=2),
        lambda s: (s.delete_session("s1"), s.create_session(user_id="ada", session_id="s1")),
        StaleSessionError,
    ),
    "changed by others": (
        lambda s: s.update_state("s1", {"ours": 1}, expected_version=2),
        lambda s: s.append("s1", "theirs"),
        StaleSessionError,
    ),
    "completed by others": (
        lambda s: s.pause_session("s1"),
        lambda s: s.complete_session("s1"),
        IllegalTransitionError,
    ),
    "created by others": (
        lambda s: s.create_session(user_id="ada", session_id="s2"),
        lambda s: s.create_session(user_id="ada", session_id="s2"),
        SessionExistsError,
    ),
    "id taken by others": (
        lambda s: s.append("s1", "ours", entry_id="e1"),
        lambda s: s.append("s1", "theirs", entry_id="e1"),
        ConflictError,
    ),
}


@pytest.mark.parametrize(("ours", "theirs", "error"), CONFLICTS.values(), ids=CONFLICTS)
def test_a_save_that_meets_the_work_of_others_saves_all_or_nothing(
    buffered: SessionService,
    direct: SessionService,
    ours: Callable[[SessionService], object],
    theirs: Callable[[SessionService], object],
    error: type[SessionStoreError],
) -> None:
    ready_session(direct, user_id="ada", session_id="s1")
    buffered.create_session(user_id="ada", session_id="before")
    ours(buffered)
    buffered.create_session(user_id="ada", session_id="after")
    theirs(direct)
    stored = direct.list_sessions()
    buffer = buffered.list_sessions()
    for _ in range(2):
        with pytest.raises(error) as caught:
            buffered.force_save()
        assert direct.list_sessions() == stored
        assert buffered.list_sessions() == buffer
        assert unsaved(buffered) == 3
    key = caught.value.key  # type: ignore[attr-defined]
    assert buffered.discard_unsaved(key.session_id, user_id=key.user_id) == 1
    assert buffered.force_save() == 2
    after = direct.list_sessions().sessions
    assert {"before", "after"} == set(ids(after)) - set(ids(stored.sessions))
    assert all(head in after for head in stored.sessions), "the work of others was touched"


def test_discarding_everything_shows_the_store_again(
    buffered: SessionService, direct: SessionService
) -> None:
    ready_session(direct, user_id="ada", session_id="s1")
    buffered.append("s1", "ours")
    buffered.create_session(user_id="ada", session_id="s2")
    buffered.update_state("s1", {}, app_state={"theme": "dark"})
    assert buffered.discard_unsaved() == 3
    assert buffered.list_sessions() == direct.list_sessions()
    assert (buffered.get_shared_state(), unsaved(buffered)) == ({}, 0)


def test_discarding_one_session_keeps_the_others(buffered: SessionService) -> None:
    for name in ("s1", "s2"):
        buffered.create_session(user_id="ada", session_id=name)
        buffered.append(name, "first")
    assert buffered.discard_unsaved("s1") == 2
    assert ids(buffered.list_sessions().sessions) == ["s2"]
    assert payloads(buffered.get_session("s2")) == ["first"]
    assert buffered.force_save() == 2


def test_with_auto_save_there_is_nothing_to_discard(direct: SessionService) -> None:
    ready_session(direct, user_id="ada", session_id="s1")
    assert (direct.discard_unsaved(), direct.get_session_count()) == (0, 1)


class Unreliable(Wrapped):
    """Raises this at the next commits, before or after carrying them out."""

    error: SessionStoreError | None = None
    writes_first = False

    def commit(self, operations: Sequence[Operation]) -> tuple[Applied | None, ...]:
        if self.error and not self.writes_first:
            raise self.error
        answers = super().commit(operations)
        if self.error:
            raise self.error
        return answers


def test_a_save_that_the_disk_refused_can_be_repeated(clock: FakeClock) -> None:
    repository = Unreliable()
    service = SessionService(repository, auto_save=False, cleanup_interval=None, clock=clock)
    ready_session(service, user_id="ada", session_id="s1")
    repository.error = StoreUnavailableError("the disk is full; free some space")
    with pytest.raises(StoreUnavailableError, match="the disk is full"):
        service.force_save()
    assert unsaved(service) == 2
    service.append("s1", "goes on")
    repository.error = None
    assert service.force_save() == 3
    assert service.get_session("s1").last_seq == 2
    service.close()


def test_a_change_that_could_not_be_prepared_leaves_no_trace(clock: FakeClock) -> None:
    class SharedIsAway(Wrapped):
        def fetch_shared(self, scope: SharedScope) -> str:
            raise StoreUnavailableError("the disk is gone")

    repository = SharedIsAway()
    with (
        SessionService(repository.inner, cleanup_interval=None, clock=clock) as direct,
        SessionService(repository, auto_save=False, cleanup_interval=None, clock=clock) as service,
    ):
        direct.create_session(user_id="ada", session_id="s1")
        with pytest.raises(StoreUnavailableError, match="the disk is gone"):
            service.update_state("s1", {"a": 1}, app_state={"a": 1})
        direct.append("s1", "news")
        assert service.get_session("s1") == direct.get_session("s1")
        assert unsaved(service) == 0


def test_a_service_that_cannot_save_stays_open_until_it_can(clock: FakeClock) -> None:
    repository = Unreliable()
    service = SessionService(repository, auto_save=False, cleanup_interval=None, clock=clock)
    ready_session(service, user_id="ada", session_id="s1")
    repository.error = StoreUnavailableError("the disk is full; free some space")
    with pytest.raises(StoreUnavailableError, match="the disk is full"):
        service.close()
    assert service.get_session("s1").last_seq == 1
    repository.error = None
    service.close()
    with pytest.raises(StoreUnavailableError, match="closed"):
        service.get_session("s1", user_id="ada")


def test_what_is_visible_but_perhaps_not_durable_is_not_written_again(clock: FakeClock) -> None:
    repository = Unreliable()
    with SessionService(repository, auto_save=False, cleanup_interval=None, clock=clock) as service:
        service.create_session(user_id="ada", session_id="s1")
        service.append("s1", "hello")
        repository.error = DurabilityUnknownError("the directory was not synced")
        repository.writes_first = True
        with pytest.raises(DurabilityUnknownError):
            service.force_save()
        repository.error = None
        assert unsaved(service) == service.force_save() == 0
        assert payloads(service.get_session("s1")) == ["hello"]


def test_the_cleanup_waits_for_the_save(
    store: Store, direct: SessionService, caplog: pytest.LogCaptureFixture
) -> None:
    """What is unsaved may be what keeps a session alive."""
    caplog.set_level(logging.INFO, logger="session_store")
    buffered = store.open(auto_save=False, expiration_hours=1)
    for session_id in ("idle", "used"):
        ready_session(direct, user_id="ada", session_id=session_id)
    store.clock.advance(minutes=50)
    buffered.touch_session("used")
    store.clock.advance(minutes=50)
    assert buffered.cleanup_expired_sessions() == 0
    assert "cleanup waits: 1 changes are not saved yet" in caplog.text
    assert direct.get_session_count() == 2
    buffered.force_save()
    assert buffered.cleanup_expired_sessions() == 1
    assert ids(direct.list_sessions().sessions) == ["used"]


def test_a_session_that_expired_in_the_buffer_is_saved_as_it_was_and_absent(
    store: Store, direct: SessionService
) -> None:
    buffered = store.open(auto_save=False, expiration_hours=1)
    buffered.create_session(user_id="ada", session_id="s1")
    store.clock.advance(hours=2)
    with pytest.raises(SessionNotFoundError):
        buffered.get_session("s1")
    assert buffered.force_save() == 1
    assert direct.get_session("s1").status is Status.CREATED
    assert buffered.get_session_count() == 0
    assert buffered.get_storage_stats()["expired_sessions"] == 1


def test_the_end_of_the_service_saves(store: Store, direct: SessionService) -> None:
    closed = store.open(auto_save=False, cleanup_interval=timedelta(hours=1))
    closed.create_session(user_id="ada", session_id="closed")
    closed.close()
    with store.open(auto_save=False) as left:
        left.create_session(user_id="ada", session_id="left")
    assert set(ids(direct.list_sessions().sessions)) == {"closed", "left"}


def test_a_batch_is_one_change(buffered: SessionService) -> None:
    buffered.create_session(user_id="ada", session_id="s1")
    buffered.append("s1", [NewEntry(payload=n) for n in range(100)])
    assert buffered.force_save() == 2
