"""Where the measured stores lie, and what an acknowledged write has survived there."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from tests.servers.postgres import PostgresServer

Kind = Literal["file", "sqlite", "postgresql"]


class Mode(NamedTuple):
    """A store and its durability: nothing is compared across modes."""

    name: str
    kind: Kind
    title: str
    durability: str
    synchronous: Literal["FULL", "NORMAL"] = "FULL"

    def __str__(self) -> str:
        return f"{self.title}: {self.durability}"


MODES = {
    mode.name: mode
    for mode in (
        Mode("file", "file", "JSON file", "atomic replace, fsync"),
        Mode("sqlite-full", "sqlite", "SQLite FULL", "WAL, synchronous=FULL"),
        Mode("sqlite-normal", "sqlite", "SQLite NORMAL", "WAL, synchronous=NORMAL", "NORMAL"),
        Mode("postgres", "postgresql", "PostgreSQL", "fsync=on, synchronous_commit=on"),
    )
}


def waits_for_disk(url: str) -> bool:
    """Whether the PostgreSQL has the durability that its rows name; a user's own may not."""
    import psycopg

    with psycopg.connect(url) as connection:
        asked = (f"SHOW {name}".encode() for name in ("fsync", "synchronous_commit"))
        return all(connection.execute(each).fetchone() == ("on",) for each in asked)


def size_of(mode: Mode, place: str) -> int:
    """Bytes on disk of a store that nobody has open: of its files, of its database."""
    if mode.kind != "postgresql":
        return sum(file.stat().st_size for file in Path(place).rglob("*") if file.is_file())
    import psycopg

    with psycopg.connect(place, autocommit=True) as connection:
        connection.execute("CHECKPOINT")
        row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
        assert row
        return int(row[0])


class Places:
    """Makes new, empty places for stores: directories in ``directory``, databases on ``server``."""

    def __init__(self, directory: Path, server: PostgresServer | None) -> None:
        self._directory, self._server = directory, server

    @contextmanager
    def new(self, mode: Mode) -> Iterator[str]:
        """A directory or the URL of a database; gone at the end."""
        if mode.kind == "postgresql":
            assert self._server is not None
            url = self._server.create_database()
            try:
                yield url
            finally:
                self._server.drop_database(url)
        else:
            place = mkdtemp(dir=self._directory)
            try:
                yield place
            finally:
                shutil.rmtree(place)
