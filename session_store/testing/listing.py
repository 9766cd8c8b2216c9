"""Promises of ``list`` and ``count``: conditions, and what a head carries."""

# ruff: noqa: PLR2004, S101 - tests are made of asserts and figures

from __future__ import annotations

from typing import Any

import pytest

from session_store.core.operations import Moment
from session_store.core.queries import MAX_PAGE, Query
from session_store.errors import InvalidValueError
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
    {"status": ""},
    {"status": 0},
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
    {"metadata": [("a", 1)]},
    {"metadata": None},
]


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

    def test_all_users_who_hold_a_session_id_are_found(self, repository: SessionRepository) -> None:
        for user in ("ada", "bob", "cy"):
            for app in ("app", "other"):
                create(repository, SessionKey(app, user, "s1"))
        for app in ("app", "other"):
            found = listed(repository, app_name=app, session_id="s1")
            assert [head.user_id for head in found] == ["cy", "bob", "ada"]
            assert count(repository, app_name=app, session_id="s1") == 3

    def test_the_newest_is_whatever_was_changed_last(self, repository: SessionRepository) -> None:
        for number, name in enumerate("abc"):
            create(repository, KEY._replace(session_id=name), seconds=number)
        change(repository, KEY._replace(session_id="a"), moment=at(10))
        assert names(listed(repository)) == "acb"
        assert names(listed(repository, order_by="created_at")) == "cba"

    @pytest.mark.parametrize("query", BAD_QUERIES, ids=lambda query: ascii(query)[:60])
    def test_what_cannot_be_asked_for_is_refused(
        self, repository: SessionRepository, query: dict[str, Any]
    ) -> None:
        create(repository)
        with pytest.raises(InvalidValueError) as raised:
            repository.list(Query(**query), at())
        assert next(iter(query)) in str(raised.value)

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
