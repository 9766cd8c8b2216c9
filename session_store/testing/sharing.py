"""Promises of the documents that sessions share: one an app, one a user in an app."""

# ruff: noqa: PLR2004, S101 - tests are made of asserts and figures

from __future__ import annotations

from typing import Any

import pytest

from session_store.errors import InvalidValueError, SessionNotFoundError, StaleSessionError
from session_store.repository import SessionRepository
from session_store.session import REMOVED
from session_store.testing.given import (
    KEY,
    OTHERS,
    at,
    change,
    create,
    exact,
    load,
    messages,
    refused,
)

SCOPES: dict[str, tuple[str, tuple[str, str | None]]] = {
    "app": ("app_state", ("app", None)),
    "user": ("user_state", ("app", "ada")),
}

for_both = pytest.mark.parametrize(("name", "scope"), SCOPES.values(), ids=list(SCOPES))


class Sharing:
    @for_both
    def test_a_shared_document_is_empty_at_first(
        self, repository: SessionRepository, name: str, scope: tuple[str, str | None]
    ) -> None:
        assert repository.load_shared(*scope) == {}
        create(repository)
        assert repository.load_shared(*scope) == {}

    @for_both
    def test_a_shared_document_is_merged_like_any_other(
        self, repository: SessionRepository, name: str, scope: tuple[str, str | None]
    ) -> None:
        create(repository)
        change(repository, **{name: {"z": 1, "set": {"deep": 1}, "gone": 1}})
        change(repository, **{name: {"set": [2], "gone": REMOVED, "new": None}})
        assert exact(repository.load_shared(*scope)) == exact({"z": 1, "set": [2], "new": None})

    def test_both_documents_and_the_session_are_changed_at_once(
        self, repository: SessionRepository
    ) -> None:
        create(repository)
        answer = change(repository, app_state={"a": 1}, user_state={"u": 1}, state={"s": 1})
        assert answer.version == 2
        assert repository.load_shared("app") == {"a": 1}
        assert repository.load_shared("app", "ada") == {"u": 1}
        assert load(repository).state == {"s": 1}

    def test_all_sessions_of_an_app_share_its_document(self, repository: SessionRepository) -> None:
        keys = [key for key in (KEY, *OTHERS) if key.app_name == "app"]
        for number, key in enumerate(keys):
            create(repository, key)
            change(repository, key, app_state={f"k{number}": number, "last": number})
        assert repository.load_shared("app") == {"k0": 0, "last": 2, "k1": 1, "k2": 2}

    def test_what_one_user_or_app_shares_no_other_sees(self, repository: SessionRepository) -> None:
        for number, key in enumerate((KEY, *OTHERS[1:])):
            create(repository, key)
            change(repository, key, user_state={"n": number})
        create(repository, OTHERS[0])
        change(repository, OTHERS[2], app_state={"n": "other"})
        assert repository.load_shared("app", "ada") == {"n": 0}
        assert repository.load_shared("app", "bob") == {"n": 1}
        assert repository.load_shared("other app", "ada") == {"n": 2}
        assert (repository.load_shared("app"), repository.load_shared("other app")) == (
            {},
            {"n": "other"},
        )

    @for_both
    def test_a_change_that_fails_shares_nothing(
        self, repository: SessionRepository, name: str, scope: tuple[str, str | None]
    ) -> None:
        create(repository)
        with refused(repository, StaleSessionError):
            change(repository, expected_version=9, **{name: {"a": 1}})
        with refused(repository, InvalidValueError):
            change(repository, rewind_to=5, **{name: {"a": 1}})
        with refused(repository, SessionNotFoundError):
            change(repository, OTHERS[0], **{name: {"a": 1}})

    @for_both
    def test_a_shared_document_outlives_the_session_that_wrote_it(
        self, repository: SessionRepository, name: str, scope: tuple[str, str | None]
    ) -> None:
        create(repository)
        change(repository, **{name: {"a": 1}})
        repository.delete(KEY, at())
        assert repository.load_shared(*scope) == {"a": 1}
        create(repository)
        change(repository, entries=messages("x"), **{name: {"b": 1}})
        assert repository.load_shared(*scope) == {"a": 1, "b": 1}

    @for_both
    def test_removing_expired_sessions_leaves_what_they_shared(
        self, repository: SessionRepository, name: str, scope: tuple[str, str | None]
    ) -> None:
        create(repository)
        change(repository, **{name: {"a": 1}})
        assert repository.remove_expired(at(9, idle_cutoff=9), 10) == 1
        assert repository.load_shared(*scope) == {"a": 1}

    @pytest.mark.parametrize("scope", [("", None), ("app", ""), ("a\0", None), ("app", "x" * 256)])
    def test_an_impossible_name_is_refused(
        self, repository: SessionRepository, scope: tuple[str, Any]
    ) -> None:
        with pytest.raises(InvalidValueError):
            repository.load_shared(*scope)
