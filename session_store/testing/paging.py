"""Promises of ``list`` for pages: order, completeness, cursors."""

# ruff: noqa: PLR2004, S101 - tests are made of asserts and figures

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from session_store.core.queries import MAX_PAGE, Query
from session_store.errors import InvalidValueError
from session_store.repository import SessionRepository
from session_store.session import SessionKey
from session_store.testing.given import (
    KEY,
    after,
    at,
    change,
    create,
    listed,
    pages,
)
from session_store.testing.listing import names


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


class Paging:
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

    def test_expired_sessions_leave_no_gaps_in_pages(self, repository: SessionRepository) -> None:
        for number in range(9):
            fields = {"expires_at": after(100)} if number % 3 else {}
            create(repository, KEY._replace(session_id=f"{number}"), seconds=number, **fields)
        found = [names(page.sessions) for page in pages(repository, at(100), limit=2)]
        assert found == ["63", "0"]
