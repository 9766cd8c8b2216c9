"""Alembic on a database of a test, with revisions that are made up, and what is in its catalog."""

from __future__ import annotations

import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, event

from session_store.backends.sql import schema
from session_store.backends.sql.names import Names
from session_store.repository import SessionRepository
from session_store.testing.given import change, load, messages
from tests.backends.processes import exit_code, forked

ROOT = Path(__file__).parents[2]
PLAIN = Names()
KILLED = 9

CATALOG = {
    "relations": """
        SELECT c.relname, c.relkind::text, c.reloptions::text, obj_description(c.oid, 'pg_class'),
               CASE c.relkind WHEN 'v' THEN pg_get_viewdef(c.oid)
                              WHEN 'i' THEN pg_get_indexdef(c.oid) END
        FROM pg_class c WHERE c.relnamespace = %(schema)s::regnamespace AND c.relkind <> 't'""",
    "columns": """
        SELECT c.relname || '.' || attname, format_type(atttypid, atttypmod), attnotnull,
               attidentity::text, attcompression::text, attstorage::text, collname,
               col_description(c.oid, attnum)
        FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
        LEFT JOIN pg_collation ON pg_collation.oid = attcollation
        WHERE c.relnamespace = %(schema)s::regnamespace AND relkind IN ('r', 'v') AND attnum > 0""",
    "constraints": """
        SELECT conname, pg_get_constraintdef(oid), obj_description(oid, 'pg_constraint')
        FROM pg_constraint WHERE connamespace = %(schema)s::regnamespace AND contype <> 'n'""",
    "functions": """
        SELECT proname, pg_get_functiondef(oid), obj_description(oid, 'pg_proc'),
               has_function_privilege('public', oid, 'EXECUTE')
        FROM pg_proc WHERE pronamespace = %(schema)s::regnamespace""",
    "triggers": """
        SELECT tgname, pg_get_triggerdef(t.oid), tgenabled::text
        FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid
        WHERE c.relnamespace = %(schema)s::regnamespace AND NOT tgisinternal""",
}
"""All that is in a schema, by its name. Since PostgreSQL 18 NOT NULL is a constraint, too."""


def config(url: str, revisions: Path | None = None, **said: Any) -> Config:
    """Alembic's, without an ini file, for the database; our own revisions or others."""
    made = schema.config()
    if revisions is not None:
        made.set_main_option("script_location", str(revisions))
    made.attributes.update(url=url, **said)
    return made


def upgrade(url: str, revision: str = "head", **said: Any) -> None:
    command.upgrade(config(url, **said), revision)


def downgrade(url: str, revision: str, **said: Any) -> None:
    command.downgrade(config(url, **said), revision)


@contextmanager
def before_statement(number: int, act: Callable[[str], str]) -> Iterator[list[str]]:
    """Let ``act`` say what is sent in place of one statement of SQLAlchemy; COMMIT is one, too."""
    sent: list[str] = []

    def at(statement: str) -> str:
        sent.append(statement)
        return act(statement) if len(sent) == number else statement

    def execute(_: Any, __: Any, statement: str, values: Any, *___: Any) -> tuple[str, Any]:
        changed = at(statement)
        return changed, values if changed == statement else ()

    def commit(_: Any) -> None:
        at("COMMIT")

    event.listen(Engine, "before_cursor_execute", execute, retval=True)
    event.listen(Engine, "commit", commit)
    try:
        yield sent
    finally:
        event.remove(Engine, "before_cursor_execute", execute)
        event.remove(Engine, "commit", commit)


def killed_at(number: int, url: str) -> bool:
    """Whether the process was killed before its upgrade was done."""

    def work() -> None:
        with before_statement(number, lambda _: os._exit(KILLED)):
            upgrade(url)

    code = exit_code(forked(work))
    assert code in (0, KILLED)
    return code == KILLED


MADE_UP = "9999"


def with_revision(directory: Path, body: str) -> Path:
    """A copy of the migrations with one revision more, whose upgrade does ``body``."""
    shutil.copytree(schema.migrations(), directory)
    (directory / "versions" / f"{MADE_UP}_made_up.py").write_text(
        "import sqlalchemy as sa\n"
        "from alembic import op\n"
        "from session_store.backends.sql.revising import own, schema\n"
        f"revision, down_revision = {MADE_UP!r}, {schema.HEAD!r}\n"
        f"def upgrade():\n    {body}\n"
        "def downgrade():\n    pass\n"
    )
    return directory


def catalog(url: str, names: Names = PLAIN) -> dict[str, dict[str, Any]]:
    """What is in the schema, under the names that it would have without schema and prefix."""
    with psycopg.connect(url) as connection:
        found = {
            kind: connection.execute(query, {"schema": names.schema or "public"}).fetchall()
            for kind, query in CATALOG.items()
        }
    return {kind: _by_name(rows, names) for kind, rows in found.items()}


def version_apart(found: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The catalog without the version table, which is Alembic's."""
    return {
        kind: {name: row for name, row in rows.items() if schema.VERSION_TABLE not in name}
        for kind, rows in found.items()
    }


def revision_in(url: str, names: Names = PLAIN) -> str | None:
    with psycopg.connect(url) as connection:
        query = f"SELECT version_num FROM {names.of(schema.VERSION_TABLE)}"
        try:
            row = connection.execute(query).fetchone()
        except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
            return None
    return None if row is None else str(row[0])


def _by_name(rows: list[Any], names: Names) -> dict[str, Any]:
    def plain(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        unqualified = re.sub(rf"\b{names.schema or 'public'}\.", "", value)
        return re.sub(rf"\b{names.prefix}(?=[a-z])", "", unqualified)

    plainly = ([plain(value) for value in row] for row in rows)
    return {name: rest for name, *rest in plainly}


@contextmanager
def taking_turns(store: SessionRepository) -> Iterator[None]:
    """Two threads append to its session, before, in and after the block; nothing of it is lost."""
    stop = threading.Event()

    def take_turns(name: str) -> int:
        for number in count():
            if stop.is_set():
                break
            change(store, entries=messages(f"{name} {number}"))
        return number

    with ThreadPoolExecutor(2) as threads:
        working = [threads.submit(take_turns, name) for name in ("ada", "bob")]
        time.sleep(0.2)
        try:
            yield
            time.sleep(0.2)
        finally:
            stop.set()
        turns = sum(each.result() for each in working)
    assert [entry.seq for entry in load(store).entries] == list(range(1, turns + 1))
    assert turns > 10
