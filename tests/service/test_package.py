"""Importing the package: cheap, and every name is there."""

from __future__ import annotations

import json

import pytest

import session_store
import session_store.service
from tests.service.test_lifecycle import run

LOADED = """
import json, sys
before = set(sys.modules)
{import_}
print(json.dumps(sorted({{name.split(".")[0] for name in set(sys.modules) - before}})))
"""


def loaded(import_: str) -> set[str]:
    done = run(LOADED.format(import_=import_))
    assert done.stderr == ""
    return set(json.loads(done.stdout))


def test_importing_loads_nothing_that_a_store_may_not_need() -> None:
    optional = {"sqlalchemy", "alembic", "anyio", "asyncio", "dotenv", "rich", "sqlite3", "pytest"}
    assert loaded("import session_store") & optional == set()


def test_a_service_in_memory_or_on_a_file_needs_no_database() -> None:
    assert loaded(
        "from session_store import InMemorySessionService\n"
        "with InMemorySessionService() as s: s.create_session(user_id='ada')"
    ).isdisjoint({"sqlalchemy", "alembic", "anyio", "sqlite3"})


def test_a_service_knows_no_archive_but_the_one_it_is_given() -> None:
    done = run("import sys, session_store.service; print(*sys.modules)")
    assert "session_store.service.service" in done.stdout.split()
    assert not [name for name in done.stdout.split() if name.startswith("session_store.transfer")]


@pytest.mark.parametrize("name", session_store.service.__all__)
def test_every_service_is_in_its_package_too(name: str) -> None:
    assert getattr(session_store.service, name) is getattr(session_store, name)


@pytest.mark.parametrize("name", session_store.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(session_store, name).__doc__


def test_public_names_are_listed_once_and_in_order() -> None:
    assert session_store.__all__ == sorted(
        set(session_store.__all__), key=lambda n: (not n.isupper(), n)
    )


def test_all_names_come_with_a_star() -> None:
    assert "sqlalchemy" not in loaded("from session_store import *; AsyncSessionService, Settings")


def test_a_name_that_is_not_there_says_so() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Sessions'"):
        session_store.Sessions  # noqa: B018
