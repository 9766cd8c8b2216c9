"""Verifying the tables of a database: each session with its history, then what is beside them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, TypeAlias

from sqlalchemy import BigInteger, ColumnElement, ScalarSelect, TableClause, cast, func, select

from session_store.backends.sql.prepared import value
from session_store.errors import CorruptStoreError, SchemaError
from session_store.maintenance.findings import Finding, OnFinding, VerifyReport, name_of, unreadable
from session_store.maintenance.rules import Problem, record_of
from session_store.maintenance.tables import PATIENCE, SqliteTables, Tables
from session_store.session import SessionKey
from session_store.transfer.sessions import Batches, Progress

MOST: Final = 1000
"""Lines of SQLite's own check."""

Numbered: TypeAlias = tuple[int, Any]
"""The number of a session's row, and its ``last_seq``, whatever that is."""


class _Questions:
    """What is asked of the tables, made once."""

    def __init__(self, tables: Tables) -> None:
        session, entry, counts = tables.sessions.c, tables.entries.c, tables.tables.counts.c
        running = tables.sessions.c.status == "running"
        self.ids = (
            select(session.id, session.last_seq)
            .where(session.id > value("after"))
            .order_by(session.id)
            .limit(value("limit"))
        )
        first, last = value("first"), value("last")
        self.heads = (
            select(session.id, *tables.record)
            .where(session.id.between(first, last))
            .order_by(session.id)
        )
        self.entries = (
            select(entry.session, *tables.entry)
            .where(entry.session.between(first, last))
            .order_by(entry.session, entry.seq)
        )
        self.entries_of = (
            select(*tables.entry)
            .where(entry.session == value("id"), entry.seq > value("after"))
            .order_by(entry.seq)
            .limit(value("limit"))
        )
        has_session = select(session.id).where(session.id == entry.session).exists()
        self.orphans = (
            select(entry.session, func.count())
            .where(~has_session)
            .group_by(entry.session)
            .order_by(entry.session)
        )
        aside = tables.tables.quarantine.c
        self.aside = (
            select(aside.table_name, aside.reason, func.count())
            .group_by(aside.table_name, aside.reason)
            .order_by(aside.table_name, aside.reason)
        )
        self.totals = select(_count(tables.sessions), _count(tables.entries))
        self.counts = select(
            cast(func.sum(counts.total), BigInteger),
            cast(func.sum(counts.running), BigInteger),
            _count(tables.sessions),
            _count(tables.sessions, running),
            tables.sees_part,
        )


def _count(table: TableClause, *conditions: ColumnElement[bool]) -> ScalarSelect[int]:
    return select(func.count()).select_from(table).where(*conditions).scalar_subquery()


class TablesCheck:
    """One run over the tables of a store; ``place`` is what findings call it."""

    def __init__(
        self, tables: Tables, place: str, report: VerifyReport, on_finding: OnFinding
    ) -> None:
        self._tables, self._place, self._report = tables, place, report
        self._ask = _Questions(tables)
        self._on_finding = on_finding
        self._rows = self._bytes = 0

    def run(self, on_progress: Progress) -> None:
        total, done = self._total(), 0
        batches = Batches[Numbered](_weight)
        for batch in batches.of(self._numbers()):
            self._rows = self._bytes = 0
            self._check_range(batch[0][0], batch[-1][0])
            batches.measured(self._rows, self._bytes)
            done += self._rows
            on_progress(min(done, total), total)
        checks = self._check_orphans, self._check_quarantine, self._check_counts, self._check_shared
        for check in checks:
            try:
                check()
            except CorruptStoreError as error:
                self._tell(str(error))
        on_progress(total, total)

    def _total(self) -> int:
        try:
            ((sessions, entries),) = self._tables.rows(self._ask.totals, {})
        except CorruptStoreError:
            return 0
        return int(sessions + entries)

    def _numbers(self) -> Iterator[Numbered]:
        for row in self._tables.scan(self._ask.ids).rows(self._lose_sessions):
            yield row[0], row[1]

    def _lose_sessions(self, first: int, last: int | None) -> None:
        """Their names may still stand in the index of keys; ``repair`` looks there."""
        self._tell(unreadable("sessions", first, last))

    def _check_range(self, first: int, last: int) -> None:
        """Half and half again where a page is damaged, so that as few as can be are unread."""
        values = {"first": first, "last": last}
        try:
            heads, entries = self._tables.ask(
                (self._ask.heads, values), (self._ask.entries, values)
            )
        except CorruptStoreError:
            if first == last:
                self._check_one(first)
                return
            middle = (first + last) // 2
            self._check_range(first, middle)
            self._check_range(middle + 1, last)
            return
        histories = {number: list(rows) for number, rows in groupby(entries, itemgetter(0))}
        for number, *record in heads:
            self._check(record, [entry[1:] for entry in histories.get(number, ())])

    def _check_one(self, number: int) -> None:
        """A session of which something can't be read: entry by entry."""
        try:
            heads = self._tables.rows(self._ask.heads, {"first": number, "last": number})
        except CorruptStoreError:
            self._lose_sessions(number, number)
            return
        entries = self._tables.scan(self._ask.entries_of, id=number).rows(lambda first, last: None)
        for _, *record in heads:
            self._check(record, list(entries))

    def _check(self, row: Sequence[Any], entries: Sequence[Sequence[Any]]) -> None:
        record = record_of(row)
        session = name_of(tuple(record[name] for name in SessionKey._fields))
        for problem in self._tables.rules.session(record, entries):
            self._tell_of(session, problem)
        self._report.sessions += 1
        self._report.entries += len(entries)
        self._rows += 1 + len(entries)
        self._bytes += sum(map(_size, (row, *entries)))

    def _check_orphans(self) -> None:
        for number, count in self._tables.rows(self._ask.orphans, {}):
            self._tell(f"session_entries: {count:,} of session row {number}, which is not there")

    def _check_quarantine(self) -> None:
        if not self._tables.sees_quarantine():
            return
        name = self._tables.tables.quarantine.name
        for table, reason, number in self._tables.rows(self._ask.aside, {}):
            self._tell(
                f"{number:,} of {table} in {name} ({reason}), set aside and never shown; "
                "docs/dba.md says how to look, and to put back or remove them"
            )

    def _check_counts(self) -> None:
        ((total, running, sessions, are_running, sees_part),) = self._tables.rows(
            self._ask.counts, {}
        )
        if not sees_part and (total, running) != (sessions, are_running):
            self._tell(
                f"session_counts has {total} sessions of which {running} run, and there are "
                f"{sessions}, of which {are_running} run; docs/dba.md says how to count again"
            )

    def _check_shared(self) -> None:
        def lost(first: int, last: int | None) -> None:
            self._tell(unreadable("shared_states", first, last))

        rules = self._tables.rules
        for _, app, user, updated_at, document in self._tables.shared(lost):
            self._report.shared += document != "{}"
            problems = [*rules.shared(app, user, document), *rules.time("updated_at", updated_at)]
            for problem in problems:
                place = f"{self._place}, shared document of {(app, user)}"
                self._finding(Finding(place=place, problem=problem.problem, field=problem.field))

    def _tell(self, problem: str) -> None:
        self._finding(Finding(place=self._place, problem=problem))

    def _tell_of(self, session: str, found: Problem) -> None:
        self._finding(
            Finding(
                place=self._place,
                problem=found.problem,
                session=session,
                seq=found.seq,
                field=found.field,
            )
        )

    def _finding(self, finding: Finding) -> None:
        self._report.wrong += 1
        self._on_finding(finding)


def verify_sqlite(
    path: Path, report: VerifyReport, on_finding: OnFinding, on_progress: Progress
) -> None:
    """A file of SQLite: its pages and indexes by SQLite's own check, then its tables."""
    from session_store.backends.sql.sqlite import file as database_file

    def tell(problem: str) -> None:
        report.wrong += 1
        on_finding(Finding(place=str(path), problem=problem))

    try:
        database_file.exists(path)
        with closing(database_file.looking(path, PATIENCE)) as connection:
            _check_file(path, connection, tell)
            tables = SqliteTables(path, connection)
            TablesCheck(tables, str(path), report, on_finding).run(on_progress)
    except CorruptStoreError as error:
        tell(str(error))
    except sqlite3.DatabaseError as error:
        tell(f"nothing can be read of it ({error})")


def _check_file(path: Path, connection: sqlite3.Connection, tell: Callable[[str], None]) -> None:
    """``SchemaError`` where its tables are another release's."""
    from session_store.backends.sql import schema
    from session_store.backends.sql.sqlite import file as database_file
    from session_store.backends.sql.sqlite import layout as sqlite_layout

    try:
        database_file.check_whole(path, connection)
        for (line,) in connection.execute(f"PRAGMA integrity_check({MOST})"):
            if line != "ok":
                tell(line)
    except (CorruptStoreError, sqlite3.DatabaseError) as error:
        tell(f"SQLite's own check ends early: {error}")
    found = sqlite_layout.revision(path, connection)
    if found != schema.HEAD:
        raise SchemaError(
            f"{path} is at revision {found or 'none'}, and this release verifies {schema.HEAD}: "
            "use the release that wrote it, or open it with this one, which upgrades it"
        )


def _weight(numbered: Numbered) -> int:
    """A damaged ``last_seq`` may be anything."""
    last = numbered[1]
    return min(last, 10**6) if type(last) is int and last > 0 else 0


def _size(row: Sequence[Any]) -> int:
    return sum(len(value) for value in row if isinstance(value, str | bytes))
