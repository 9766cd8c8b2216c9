"""What the tests of PostgreSQL share; those of another back end have a ``store`` of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from session_store.backends.sql.postgresql.store import open_postgres
from session_store.backends.sql.repository import SqlRepository
from tests.servers.stores import PostgresStore


@pytest.fixture
def url(postgres_store: PostgresStore, tmp_path: Path) -> str:
    """Of a database with an empty store."""
    postgres_store.begin(tmp_path)
    return postgres_store.url


@pytest.fixture
def store(url: str) -> Iterator[SqlRepository]:
    """Straight to the server."""
    with open_postgres(url) as opened:
        yield opened
