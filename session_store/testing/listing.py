"""Promises of ``list`` and ``count``: order, conditions, pages."""

# ruff: noqa: PLR2004, S101 - tests are made of asserts and figures

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from session_store.errors import InvalidValueError
from session_store.operations import Moment
from session_store.queries import MAX_PAGE, Query
from session_store.repository import SessionRepository
from session_store.session import Session, SessionKey, Status
from session_store.testing.given import (
    BEGINNING,
    KEY,
    NOW,
    after,
    at,
    change,
    count,
    create,
    listed,
    load,
    messages,
    pages,
)
from session_store.testing.loading import under_every_rule

# name: app, user, status, created, updated, metadata
STORED: dict[str, tuple[str, str, Status, float, float, dict[str, Any]]] = {
    "a": ("app", "ada", Status.CREATED, 0, 90, {}),
    "b": ("app", "ada", Status.RUNNING, 10, 80, {"title": "x", "n": 1}),
    "c": ("app", "bob", Status.RUNNING, 20, 70, {"title": "x", "n": 2}),
    "d": ("other", "ada", Status.PAUSED, 30, 60, {"title": "y", "n": 1}),
    "e": ("other", "cy", Status.COMPLETED, 40, 50, {"title": None}),
    "f": ("App", "Ada", Status.FAILED, 50, 100, {"Title": "x"}),
}

CONDITIONS: list[tuple[dict[str, Any], str]] = [
    ({}, "fabcde"),
    ({"order_by": "updated_at"}, "fabcde"),
    ({"order_by": "created_at"}, "fedcba"),
    ({"app_name": "app"}, "abc"),
    ({"app_name": "nobody's"}, ""),
    ({"user_id": "ada"}, "abd"),
    ({"app_name": "app", "user_id": "ada"}, "ab"),
    ({"session_id": "c"}, "c"),
    ({"session_id": "C"}, ""),
    ({"app_name": "app", "session_id": "c"}, "c"),
    ({"app_name": "other", "session_id": "c"}, ""),
    ({"app_name": "app", "session_id": "c", "user_id": "ada"}, ""),
    ({"status": Status.RUNNING}, "bc"),
    ({"status": "running"}, "bc"),
    ({"status": [Status.PAUSED, Status.CREATED]}, "ad"),
    ({"status": ()}, "fabcde"),
    ({"status": list(Status)}, "fabcde"),
    ({"created_after": after(20)}, "fcde"),
    ({"created_before": after(20)}, "ab"),
    ({"created_after": after(10), "created_before": after(30)}, "bc"),
    ({"created_after": after(10), "created_before": after(10)}, ""),
    ({"updated_after": after(80)}, "fab"),
    ({"updated_before": after(80)}, "cde"),
    ({"updated_after": after(60), "updated_before": after(90)}, "bcd"),
    ({"updated_after": after(80.000001)}, "fa"),
    ({"updated_before": after(80.000001)}, "bcde"),
    ({"metadata": {"title": "x"}}, "bc"),
    ({"metadata": {"title": "x", "n": 1}}, "b"),
    ({"metadata": {"title": None}}, "e"),
    ({"metadata": {"nowhere": None}}, ""),
    ({"metadata": {"n": 1}, "user_id": "ada", "status": Status.PAUSED}, "d"),
    ({"user_id": "ada", "order_by": "created_at", "created_after": after(1)}, "db"),
]

BAD_QUERIES: list[dict[str, Any]] = [
    {"limit": 0},
    {"limit": -1},
    {"limit": MAX_PAGE + 1},
    {"limit": True},
    {"limit": 1.0},
    {"limit": None},
    {"order_by": "user_id"},
    {"order_by": "updated_at; DROP TABLE sessions"},
    {"status": "walking"},
    {"status": ["running", "walking"]},
    {"app_name": ""},
    {"user_id": "a\0b"},
    {"session_id": "x" * 256},
    {"session_id": "\ud800"},
    {"created_after": NOW.replace(tzinfo=None)},
    {"updated_before": "2024-02-29"},
    {"metadata": {"a": [1]}},
    {"metadata": {"a": {}}},
    {"metadata": {"a": (1,)}},
    {"metadata": {"a": float("nan")}},
    {"metadata": {"a": 2**63}},
    {"metadata": {"a": NOW}},
    {"metadata": {"a": "\ud800"}},
    {"metadata": {"\ud800": 1}},
    {"metadata": {1: 1}},
]


def _cursor(*parts: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode()


BAD_CURSORS: dict[str, Any] = {
    "empty": "",
    "text": "next page please",
    "not ASCII": "é",
    "a number": 5,
    "no array": base64.urlsafe_b64encode(b'{"a":1}').decode(),
    "too short": _cursor("2024-02-29T12:30:15.123456Z", "app", "ada"),
    "too long": _cursor("2024-02-29T12:30:15.123456Z", "app", "s1", "ada", "x"),
    "a part that is no text": _cursor("2024-02-29T12:30:15.123456Z", "app", "s1", 1),
    "no time": _cursor("yesterday", "app", "s1", "ada"),
    "a time out of range": _cursor("0001-01-01T00:00:00+23:59", "app", "s1", "ada"),
    "NUL in an id": _cursor("2024-02-29T12:30:15.123456Z", "app", "s\0", "ada"),
    "an empty id": _cursor("2024-02-29T12:30:15.123456Z", "", "s1", "ada"),
    "an endless id": _cursor("2024-02-29T12:30:15.123456Z", "app", "s" * 256, "ada"),
}

SCALARS: list[Any] = [
    *(0, 1, -1, 2**53 + 1, 2**63 - 1, -(2**63)),
    *(0.0, 1.0, -1.0, 0.1, 1e22, 5e-324, float(2**53), float(2**63)),
    *(True, False, None),
    *("", "0", "1", "1.0", "true", "True", "null", "None", " ", "a", "A", "a ", "é", "e\u0301"),
    *("\0", "a\0b", "a", "\u2028", "\U0001f600", "'", '"', "\\", "\\u0000", "%", "_", "[1]", "{}"),
]


def stored(repository: SessionRepository) -> None:
    for name, (app, user, status, created, updated, metadata) in STORED.items():
        fields = {"status": status, "updated_at": after(updated), "metadata": metadata}
        create(repository, SessionKey(app, user, name), seconds=created, **fields)


def names(heads: Any) -> str:
    return "".join(head.session_id for head in heads)


class Listing:
    def test_an_empty_store_lists_nothing(self, repository: SessionRepository) -> None:
        page = repository.list(Query(), at())
        assert (page.sessions, page.cursor, count(repository)) == ((), None, 0)

    @pytest.mark.parametrize(("conditions", "expected"), CONDITIONS, ids=str)
    def test_what_matches_is_listed_newest_first_and_counted(
        self, repository: SessionRepository, conditions: dict[str, Any], expected: str
    ) -> None:
        stored(repository)
        assert names(listed(repository, **conditions)) == expected
        assert names(listed(repository, limit=1, **conditions)) == expected
        assert count(repository, **conditions) == len(expected)

    def test_heads_carry_all_but_the_history(self, repository: SessionRepository) -> None:
        fields = {
            "state": {"s": [1.0, None]},
            "agent_states": {"planner": {"a": 1}},
            "metadata": {"title": "x"},
            "expires_at": after(99),
        }
        create(repository, history="abc", **fields)
        change(repository, status=Status.COMPLETED)
        (head,) = listed(repository)
        session = load(repository)
        assert not isinstance(head, Session)
        assert head.model_dump() == session.model_dump(exclude={"entries"})

    @pytest.mark.parametrize("value", SCALARS, ids=ascii)
    def test_metadata_is_found_by_the_same_value_of_the_same_type(
        self, repository: SessionRepository, value: Any
    ) -> None:
        near = [other for other in SCALARS if other == value or str(other) == str(value)]
        for number, other in enumerate([*near, [value], {"label": value}]):
            key = KEY._replace(session_id=f"{number}")
            create(repository, key, metadata={"label": other, "other": value})
        create(repository, KEY._replace(session_id="none"), metadata={"other": value})
        same = {
            f"{number}"
            for number, other in enumerate(near)
            if (type(other), other) == (type(value), value)
        }
        assert {head.session_id for head in listed(repository, metadata={"label": value})} == same
        assert count(repository, metadata={"label": value}) == len(same)

    @pytest.mark.parametrize(
        "key",
        ["", " ", "a.b", "$.a", "$", "a[0]", "0", '"a"', "a\0b", "é", "e\u0301", "\\", "*", "'"],
        ids=ascii,
    )
    def test_a_metadata_key_is_no_path_and_no_pattern(
        self, repository: SessionRepository, key: str
    ) -> None:
        create(repository, metadata={"a": {"b": 1, "a": 1}, "0": [1], "b": 1, "e": 1})
        other = KEY._replace(session_id="this one")
        create(repository, other, metadata={key: 1})
        assert [head.key for head in listed(repository, metadata={key: 1})] == [other]

    def test_the_newest_is_whatever_was_changed_last(self, repository: SessionRepository) -> None:
        for number, name in enumerate("abc"):
            create(repository, KEY._replace(session_id=name), seconds=number)
        change(repository, KEY._replace(session_id="a"), moment=at(10))
        assert names(listed(repository)) == "acb"
        assert names(listed(repository, order_by="created_at")) == "cba"

    @pytest.mark.parametrize("order_by", ["updated_at", "created_at"])
    @pytest.mark.parametrize("limit", [1, 3, 7, 23, 24, 25, 1000])
    def test_pages_show_everything_once_in_order(
        self, repository: SessionRepository, limit: int, order_by: str
    ) -> None:
        keys = [
            SessionKey(f"app{n % 2}", f"user{n % 3}", f"{n // 6}") for n in range(24)
        ]  # six of them for each session_id, in three times of which two hold many
        for number, key in enumerate(keys):
            create(repository, key, seconds=number % 5 // 2)
        found = [
            [head.key for head in page.sessions]
            for page in pages(repository, limit=limit, order_by=order_by)
        ]
        expected = sorted(
            zip((number % 5 // 2 for number in range(24)), keys, strict=True),
            key=lambda pair: (pair[0], pair[1].app_name, pair[1].session_id, pair[1].user_id),
            reverse=True,
        )
        assert [key for page in found for key in page] == [key for _, key in expected]
        assert [len(page) for page in found[:-1]] == [limit] * ((24 - 1) // limit)

    def test_equal_times_are_in_the_order_of_their_code_points(
        self, repository: SessionRepository
    ) -> None:
        order = ["10", "2", "A", "B", "Z", "_", "a", "a a", "ab", "b", "é", "\uff5a", "\U0001f600"]
        for name in order[1::2] + order[::2]:
            create(repository, KEY._replace(session_id=name))
        found = [head.session_id for head in listed(repository, limit=2)]
        assert found == order[::-1]

    def test_pages_by_creation_hold_still_while_sessions_are_written(
        self, repository: SessionRepository
    ) -> None:
        for number, name in enumerate("abcdef"):
            create(repository, KEY._replace(session_id=name), seconds=number)
        seen = ""
        for page in pages(repository, limit=2, order_by="created_at"):
            seen += names(page.sessions)
            for number, name in enumerate("abcdef"):
                change(repository, KEY._replace(session_id=name), moment=at(100 + number))
        assert seen == "fedcba"

    def test_a_page_goes_on_where_a_deleted_session_was(
        self, repository: SessionRepository
    ) -> None:
        for number, name in enumerate("abcd"):
            create(repository, KEY._replace(session_id=name), seconds=number)
        page = repository.list(Query(limit=2), at())
        repository.delete(page.sessions[-1].key, at())
        rest = repository.list(Query(limit=2, cursor=page.cursor), at())
        assert (names(page.sessions), names(rest.sessions), rest.cursor) == ("dc", "ba", None)

    def test_a_page_keeps_to_its_conditions(self, repository: SessionRepository) -> None:
        for number in range(10):
            key = SessionKey("app", "ada" if number % 2 else "bob", f"{number}")
            create(repository, key, seconds=number, metadata={"odd": bool(number % 2)})
        assert names(listed(repository, limit=2, user_id="ada")) == "97531"
        assert names(listed(repository, limit=2, metadata={"odd": False})) == "86420"

    def test_a_cursor_is_plain_ascii_and_of_bounded_length(
        self, repository: SessionRepository
    ) -> None:
        for name in ("ü" * 127, "ä" * 127):
            create(repository, SessionKey("é" * 127, "ß" * 127, name))
        cursor = repository.list(Query(limit=1), at()).cursor
        assert cursor is not None
        assert cursor.isascii()
        assert len(cursor) < 2000
        assert set(cursor) <= set(base64.urlsafe_b64encode(bytes(range(256))).decode() + "-_=")

    @pytest.mark.parametrize("query", BAD_QUERIES, ids=lambda query: ascii(query)[:60])
    def test_what_cannot_be_asked_for_is_refused(
        self, repository: SessionRepository, query: dict[str, Any]
    ) -> None:
        create(repository)
        with pytest.raises(InvalidValueError) as raised:
            repository.list(Query(**query), at())
        assert next(iter(query)) in str(raised.value)

    @pytest.mark.parametrize("cursor", BAD_CURSORS.values(), ids=list(BAD_CURSORS))
    def test_a_cursor_that_no_page_returned_is_refused(
        self, repository: SessionRepository, cursor: Any
    ) -> None:
        create(repository)
        with pytest.raises(InvalidValueError) as raised:
            repository.list(Query(cursor=cursor), at())
        assert "cursor" in str(raised.value)

    def test_a_page_holds_as_many_as_were_asked_for(self, repository: SessionRepository) -> None:
        for number in range(51):
            create(repository, KEY._replace(session_id=f"{number}"))
        assert len(repository.list(Query(), at()).sessions) == 50
        assert len(repository.list(Query(limit=MAX_PAGE), at()).sessions) == 51

    @under_every_rule
    def test_an_expired_session_is_neither_listed_nor_counted(
        self,
        repository: SessionRepository,
        fields: dict[str, Any],
        alive: Moment,
        dead: Moment,
    ) -> None:
        create(repository, **fields)
        assert (len(listed(repository, alive)), count(repository, alive)) == (1, 1)
        assert (listed(repository, dead), count(repository, dead)) == ([], 0)

    def test_expired_sessions_leave_no_gaps_in_pages(self, repository: SessionRepository) -> None:
        for number in range(9):
            fields = {"expires_at": after(100)} if number % 3 else {}
            create(repository, KEY._replace(session_id=f"{number}"), seconds=number, **fields)
        found = [names(page.sessions) for page in pages(repository, at(100), limit=2)]
        assert found == ["63", "0"]

    def test_reading_changes_nothing(self, repository: SessionRepository) -> None:
        create(repository, history="abc")
        before = load(repository)
        listed(repository, at(50))
        count(repository, at(50))
        load(repository, moment=at(50))
        repository.stats(at(50))
        assert load(repository) == before

    def test_a_change_is_listed_at_once(self, repository: SessionRepository) -> None:
        create(repository)
        change(repository, metadata={"title": "x"}, entries=messages("a"))
        (head,) = listed(repository, BEGINNING, metadata={"title": "x"})
        assert (head.version, head.last_seq, head.updated_at) == (2, 1, after(1))
