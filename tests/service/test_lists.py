"""Lists, pages and counts of many sessions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from session_store import InvalidValueError, SessionHead, SessionService, Status
from session_store.core.operations import Moment
from session_store.core.queries import Filter, Position
from session_store.core.records import SessionRecord
from tests.service.support import NOON, FakeClock, Store, Wrapped, create_many, ids


def minutes(count: float) -> datetime:
    return NOON + timedelta(minutes=count)


@pytest.fixture
def service(store: Store) -> SessionService:
    """Five sessions, created a minute apart in the order of their names."""
    service = store.open()
    for session_id, user_id, app_name, metadata in (
        ("a", "ada", "coach", {"source": "web", "turns": 1}),
        ("b", "ada", "coach", {"source": "app", "turns": 1.0}),
        ("c", "bob", "coach", {"source": "web", "turns": True}),
        ("d", "ada", "support", {"source": None, "tags": ["x"]}),
        ("e", "bob", "support", {}),
    ):
        service.create_session(
            user_id=user_id, session_id=session_id, app_name=app_name, metadata=metadata
        )
        store.clock.advance(minutes=1)
    service.append("a", "hello", app_name="coach")  # at minute 5
    service.pause_session("d", app_name="support")
    return service


CONDITIONS: list[tuple[dict[str, Any], str]] = [
    ({}, "daecb"),
    ({"user_id": "ada"}, "dab"),
    ({"app_name": "coach"}, "acb"),
    ({"app_name": "coach", "user_id": "bob"}, "c"),
    ({"app_name": "unheard"}, ""),
    ({"status": Status.RUNNING}, "a"),
    ({"status": "created"}, "ecb"),
    ({"status": [Status.RUNNING, "paused"]}, "da"),
    ({"status": ()}, "daecb"),
    ({"created_after": minutes(1)}, "decb"),
    ({"created_before": minutes(1)}, "a"),
    ({"created_after": minutes(1), "created_before": minutes(3)}, "cb"),
    ({"updated_after": minutes(4)}, "dae"),
    ({"updated_before": minutes(4)}, "cb"),
    ({"metadata": {"source": "web"}}, "ac"),
    ({"metadata": {"source": None}}, "d"),
    ({"metadata": {"turns": 1}}, "a"),
    ({"metadata": {"turns": 1.0}}, "b"),
    ({"metadata": {"turns": True}}, "c"),
    ({"metadata": {"source": "web", "turns": 1}}, "a"),
    ({"metadata": {"source": "web", "turns": 2}}, ""),
    ({"order_by": "created_at"}, "edcba"),
    ({"order_by": "created_at", "app_name": "coach", "metadata": {"source": "web"}}, "ca"),
]


def test_lists_hold_what_matches_newest_first(service: SessionService) -> None:
    for conditions, expected in CONDITIONS:
        assert ids(service.list_sessions(**conditions).sessions) == list(expected), conditions


def test_pages_hold_what_matches_newest_first(service: SessionService) -> None:
    for conditions, expected in CONDITIONS:
        paged = [page.sessions for page in service.pages(limit=2, **conditions)]
        assert ids(head for page in paged for head in page) == list(expected), conditions
        assert all(len(page) <= 2 for page in paged)


def test_the_count_is_that_of_what_matches(service: SessionService) -> None:
    for conditions, expected in CONDITIONS:
        assert service.get_session_count(**conditions) == len(expected), conditions


def test_pages_end_without_an_empty_one(service: SessionService) -> None:
    assert [len(page.sessions) for page in service.pages(limit=5)] == [5]
    assert [len(page.sessions) for page in service.pages(limit=4)] == [4, 1]
    assert [page.sessions for page in service.pages(limit=4, user_id="nobody")] == [()]


def test_a_cursor_goes_on_where_its_page_ended(service: SessionService) -> None:
    first = service.list_sessions(limit=2)
    assert first.cursor is not None
    service.create_session(user_id="ada", session_id="newest")
    service.delete_session("a", app_name="coach")
    rest = service.list_sessions(cursor=first.cursor)
    assert ids(first.sessions) + ids(rest.sessions) == list("daecb")
    assert rest.cursor is None


def test_lists_hold_heads_with_their_documents(service: SessionService) -> None:
    head = service.list_sessions(status=Status.RUNNING).sessions[0]
    assert type(head) is SessionHead
    session = service.get_session("a", app_name="coach")
    assert head.model_dump() == session.model_dump(exclude={"entries"})


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 1001}, "limit"),
        ({"limit": "5"}, "limit"),
        ({"limit": True}, "limit"),
        ({"cursor": "nonsense"}, "cursor"),
        ({"cursor": ""}, "cursor"),
        ({"cursor": "WyJhIl0="}, "cursor"),
        ({"cursor": "ä"}, "cursor"),
        ({"status": "asleep"}, "status"),
        ({"status": ["running", None]}, "status"),
        ({"created_after": "today"}, "created_after"),
        ({"updated_before": datetime(2026, 1, 1)}, "updated_before"),  # noqa: DTZ001
        ({"metadata": {"tags": ["x"]}}, r"metadata\.tags"),
        ({"metadata": {1: "x"}}, "metadata"),
        ({"metadata": {"x": float("nan")}}, r"metadata\.x"),
        ({"order_by": "user_id"}, "order_by"),
        ({"user_id": ""}, "user_id"),
        ({"app_name": 5}, "app_name"),
    ],
    ids=str,
)
def test_what_cannot_be_asked_for_is_named(
    memory: SessionService, wrong: dict[str, Any], named: str
) -> None:
    with pytest.raises(InvalidValueError, match=f"^{named}: "):
        memory.list_sessions(**wrong)


def test_all_sessions_of_a_user_come_newest_first(service: SessionService) -> None:
    assert ids(service.get_all_user_sessions("ada")) == list("dab")
    assert ids(service.get_all_user_sessions("ada", app_name="coach")) == list("ab")
    assert service.get_all_user_sessions("nobody") == []


def test_no_user_does_not_mean_every_user(service: SessionService) -> None:
    wrong: list[Any] = [None, "", 5]
    for user_id in wrong:
        with pytest.raises(InvalidValueError, match=r"^user_id: "):
            service.get_all_user_sessions(user_id)


def test_active_sessions_are_asked_for_by_user_and_app(service: SessionService) -> None:
    service.append("c", "hello", app_name="coach")
    service.append("e", "hello", app_name="support")
    assert ids(service.get_active_sessions()) == list("eca")
    assert ids(service.get_active_sessions(user_id="bob")) == list("ec")
    assert ids(service.get_active_sessions(app_name="coach")) == list("ca")
    assert ids(service.get_active_sessions(user_id="bob", app_name="coach")) == ["c"]


def test_whole_lists_hold_more_than_a_page(store: Store) -> None:
    service = store.open()
    newest_first = create_many(service, 1_203)[::-1]
    assert ids(service.get_all_user_sessions("ada")) == newest_first
    assert ids(service.get_active_sessions()) == newest_first
    assert [len(page.sessions) for page in service.pages()] == [1000, 203]
    assert service.get_session_count() == 1_203


class WrittenWhileListed(Wrapped):
    """The oldest session is written after the first page was read: it moves to the front."""

    def select(
        self, query: Filter, position: Position | None, limit: int | None, at: Moment
    ) -> Sequence[SessionRecord]:
        found = super().select(query, position, limit, at)
        if limit == 1001 and position is None:
            self.write()
        return found

    def write(self) -> None:
        """Set by the test."""


def test_a_whole_list_misses_no_session_that_is_written_meanwhile(clock: FakeClock) -> None:
    repository = WrittenWhileListed()
    with SessionService(repository, clock=clock, cleanup_interval=None) as service:
        created = create_many(service, 1_003)
        repository.write = lambda: service.append(created[0], "hello")  # type: ignore[method-assign, assignment]
        listed = ids(service.get_all_user_sessions("ada"))
    assert sorted(listed) == created
