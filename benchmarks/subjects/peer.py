"""What peers have in common: how their tables are filled, their engine of SQLAlchemy's."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import psycopg
from sqlalchemy import event
from sqlalchemy.ext.asyncio import create_async_engine

from benchmarks.modes import Mode

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine


def file_of(place: str) -> str:
    return f"{place}/peer.db"


def insert(mode: Mode, place: str, statement: str, rows: Iterable[Sequence[Any]]) -> None:
    """In one transaction, with ``?`` for values."""
    if mode.kind == "sqlite":
        with closing(sqlite3.connect(file_of(place))) as file, file:
            file.executemany(statement, rows)
    else:
        with psycopg.connect(place) as connection, connection.cursor() as cursor:
            cursor.executemany(statement.replace("?", "%s").encode(), rows)


def stamp(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S.%f}"


def url(mode: Mode, place: str) -> str:
    if mode.kind == "sqlite":
        return f"sqlite+aiosqlite:///{file_of(place)}"
    return place.replace("postgresql", "postgresql+asyncpg", 1)


def engine(mode: Mode, place: str) -> AsyncEngine:
    """On SQLite of the mode's durability, which peers leave to the engine."""
    made = create_async_engine(url(mode, place))
    if mode.kind == "sqlite":

        @event.listens_for(made.sync_engine, "connect")
        def set_durability(connection: Any, _: object) -> None:
            cursor = connection.cursor()
            cursor.execute("PRAGMA journal_mode=WAL")
            cursor.execute(f"PRAGMA synchronous={mode.synchronous}")
            cursor.close()

    return made
