"""What can still be read of a damaged SQLite file.

It is read as a private copy, so that SQLite may do what it does with a log. Every table is scanned
by the numbers of its rows, around damaged pages and without its indexes. Where these can be read,
they are a second witness: a row whose key is another one there is not taken for right. Nothing else
in a row has a checksum: a bit that flipped inside a text that is still JSON can't be seen.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from session_store.core import codec
from session_store.core.records import TIMES, EntryRecord, SessionRecord
from session_store.errors import CorruptStoreError
from session_store.maintenance import first_page
from session_store.maintenance.findings import name_of, unreadable
from session_store.maintenance.rebuild import Found, Rebuild, key_of
from session_store.maintenance.rules import record_of
from session_store.maintenance.scan import Ask, Row, Scan
from session_store.maintenance.tables import SqliteTables, as_text
from session_store.session import SessionKey
from session_store.transfer.sessions import Progress, Stored

# ruff: noqa: S608 - only names of tables, columns and conditions of this module are in a text

RECORD: Final = ", ".join(f'"{name}"' for name in SessionRecord._fields)
ENTRY: Final = ", ".join(f'"{name}"' for name in EntryRecord._fields)
"""In quotes, a column that a damaged schema has lost is no column; SQLite takes it for a text."""

_PAGE: Final = 4096
_SUFFIXES: Final = ("", "-wal", "-journal")

_SESSIONS: Final = (
    f"SELECT id, {RECORD} FROM sessions NOT INDEXED WHERE id > :after ORDER BY id LIMIT :limit"
)
_ENTRIES: Final = (
    f"SELECT rowid, session, {ENTRY} FROM session_entries NOT INDEXED WHERE rowid > :after "
    "ORDER BY rowid LIMIT :limit"
)
_ASIDE: Final = (
    "SELECT id, table_name, reason, content FROM session_quarantine NOT INDEXED WHERE id > :after "
    "ORDER BY id LIMIT :limit"
)
_WITNESSES: Final = {
    "keys": "SELECT id, app_name, user_id, session_id FROM sessions "
    "INDEXED BY sqlite_autoindex_sessions_1",
    "places": "SELECT rowid, session, seq FROM session_entries "
    "INDEXED BY sqlite_autoindex_session_entries_1",
    "ids": "SELECT rowid, session, entry_id FROM session_entries "
    "INDEXED BY sqlite_autoindex_session_entries_2",
}
"""What indexes hold of rows, which are not looked at for it."""

_MADE: Final = """
CREATE TABLE sessions (id INTEGER PRIMARY KEY, {sessions});
CREATE TABLE entries (number INTEGER PRIMARY KEY, session, {entries});
CREATE TABLE keys (id INTEGER PRIMARY KEY, app_name, user_id, session_id);
CREATE TABLE places (number INTEGER PRIMARY KEY, session, seq);
CREATE TABLE ids (number INTEGER PRIMARY KEY, session, entry_id);
"""

_DOUBTED: Final = """
DELETE FROM entries WHERE number IN (
    SELECT number FROM entries JOIN places USING (number)
    WHERE places.session IS NOT entries.session OR places.seq IS NOT entries.seq
    UNION ALL SELECT number FROM entries JOIN ids USING (number)
    WHERE ids.session IS NOT entries.session OR ids.entry_id IS NOT entries.entry_id)"""


def rebuild_from_database(
    file: Path, rebuild: Rebuild, now: datetime, on_progress: Progress
) -> None:
    """``CorruptStoreError`` when nothing can be read of it."""
    with tempfile.TemporaryDirectory(prefix="session-store-") as directory:
        copy = _copied(file, Path(directory, "damaged.db"))
        with (
            closing(_opened(file, copy, rebuild)) as damaged,
            closing(sqlite3.connect(Path(directory, "rows.db"))) as scratch,
        ):
            _Repair(SqliteTables(file, damaged), damaged, scratch, rebuild, on_progress).run(now)


class _Repair:
    def __init__(
        self,
        tables: SqliteTables,
        damaged: sqlite3.Connection,
        scratch: sqlite3.Connection,
        rebuild: Rebuild,
        on_progress: Progress,
    ) -> None:
        self._tables, self._damaged, self._scratch = tables, damaged, scratch
        self._rebuild, self._on_progress = rebuild, on_progress
        scratch.text_factory = as_text
        scratch.executescript(
            "PRAGMA synchronous = OFF; PRAGMA journal_mode = OFF;"
            + _MADE.format(sessions=RECORD, entries=ENTRY)
        )

    def run(self, now: datetime) -> None:
        self._collect("sessions", _SESSIONS)
        self._collect("entries", _ENTRIES)
        for name, text in _WITNESSES.items():
            self._insert(name, self._witness(text))
        self._scratch.execute("CREATE INDEX by_session ON entries (session, seq)")
        self._doubt()
        self._put_sessions()
        self._tell_of_lost_rows()
        self._share(now)
        self._keep_what_is_aside()

    def _collect(self, name: str, text: str) -> None:
        self._insert(name, Scan(self._page_of(text), {}).rows(self._lost(name)))

    def _lost(self, name: str) -> Any:
        def lost(first: int, last: int | None) -> None:
            self._rebuild.lose(unreadable(name, first, last))

        return lost

    def _insert(self, name: str, rows: Iterable[Row]) -> None:
        for row in rows:
            places = ", ".join("?" * len(row))
            self._scratch.execute(f"INSERT OR IGNORE INTO {name} VALUES ({places})", row)

    def _witness(self, text: str) -> Iterator[Row]:
        """As far as the index can be read."""
        try:
            for row in self._damaged.execute(text):
                if type(row[0]) is int:
                    yield row
        except sqlite3.DatabaseError:
            return

    def _doubt(self) -> None:
        """Entries whose index says another thing: which is right can't be known."""
        before = self._scratch.total_changes
        self._scratch.execute(_DOUBTED)
        if doubted := self._scratch.total_changes - before:
            self._rebuild.lose(f"{doubted:,} entries contradict their index, and are not taken")

    def _put_sessions(self) -> None:
        ((total,),) = self._scratch.execute("SELECT count(*) FROM sessions")
        for done, (number, *row) in enumerate(self._all("SELECT * FROM sessions"), 1):
            record = record_of(row)
            found = Found(key_of(record), record, self._history(number), _stored)
            key = self._key(number)
            if key and name_of(key) != found.name:
                self._rebuild.lose(
                    f"the index has {name_of(key)} in its place; it is in the side file",
                    session=found.name,
                )
                self._rebuild.set_aside(found)
            else:
                self._rebuild.session(found)
            self._on_progress(done, total)

    def _history(self, number: int) -> list[Row]:
        query = f"SELECT {ENTRY} FROM entries WHERE session = ? ORDER BY seq"
        return self._scratch.execute(query, (number,)).fetchall()

    def _key(self, number: int) -> Row | None:
        """What the index of keys has for a row."""
        query = "SELECT app_name, user_id, session_id FROM keys WHERE id = ?"
        key: Row | None = self._scratch.execute(query, (number,)).fetchone()
        return key

    def _tell_of_lost_rows(self) -> None:
        """Sessions whose row is lost, by the name that is left of them, and their entries."""
        numbers = self._all(
            "SELECT id FROM (SELECT id FROM keys UNION SELECT session FROM entries) "
            "WHERE id NOT IN (SELECT id FROM sessions) ORDER BY id"
        )
        for (number,) in numbers:
            key, entries = self._key(number), self._history(number)
            name = name_of(key) if key else f"of row {number}"
            aside = f"; {len(entries):,} entries of it are in the side file" if entries else ""
            self._rebuild.lose(f"its row can't be read{aside}", session=name)
            named = zip(SessionKey._fields, key or (None, None, None), strict=True)
            self._rebuild.set_aside(Found(name, {**dict(named), "row": number}, entries, _stored))

    def _keep_what_is_aside(self) -> None:
        """The new store begins with an empty quarantine; what was in this one goes to the file.
        A store of an older release has none."""
        query = "SELECT 1 FROM sqlite_master WHERE name = 'session_quarantine'"
        if not self._damaged.execute(query).fetchone():
            return
        rows = Scan(self._page_of(_ASIDE), {}).rows(self._lost("session_quarantine"))
        for _, table, reason, content in rows:
            self._rebuild.aside(
                "quarantine", {"table_name": table, "reason": reason, "content": content}
            )

    def _page_of(self, text: str) -> Ask:
        return lambda values: self._tables.send((text, values))[0]

    def _share(self, now: datetime) -> None:
        for _, app, user, _, document in self._tables.shared(self._lost("shared_states")):
            self._rebuild.share(app, user, document, now)

    def _all(self, text: str) -> Iterator[Row]:
        """A page at a time, beside what is asked meanwhile."""
        cursor = self._scratch.execute(text)
        while page := cursor.fetchmany(500):
            yield from page


def _stored(record: Mapping[str, Any], entries: Sequence[Any]) -> Stored:
    times = {
        name: None if record[name] is None else codec.decode_sorted_time(record[name], name)
        for name in TIMES
    }
    return Stored(
        SessionRecord(**{**record, **times}),
        [
            (seq, entry_id, kind, payload, codec.decode_time(created_at, "created_at"), version)
            for seq, entry_id, kind, payload, created_at, version in entries
        ],
    )


# Opening what is damaged --------------------------------------------------------------------------


def _copied(file: Path, copy: Path) -> Path:
    """With its log; what was cut off is filled with zeros, which SQLite takes for damaged pages,
    while it refuses a file that is shorter than it says."""
    for suffix in _SUFFIXES:
        part = Path(f"{file}{suffix}")
        if part.exists():
            shutil.copyfile(part, f"{copy}{suffix}")
    with copy.open("r+b") as opened:
        header = opened.read(100)
        size = int.from_bytes(header[28:32], "big") * _PAGE
        length = copy.stat().st_size
        opened.truncate(max(length + -length % _PAGE, min(size, length + 2**32)))
    return copy


def _opened(file: Path, copy: Path, rebuild: Rebuild) -> sqlite3.Connection:
    """As it is; or else with a first page that says where its layout is, or with that of an empty
    store, which has the same if the store was made by this release."""
    if connection := _tried(copy):
        return connection
    _write_first_page(copy)
    connection = _tried(copy)
    if connection is None or not _has_rows(connection):
        raise CorruptStoreError(f"{file}: nothing can be read of it; restore a backup")
    rebuild.lose("the first page can't be read; another is taken for it")
    return connection


def _has_rows(connection: sqlite3.Connection) -> bool:
    """Whether a first page from elsewhere fits: where it says, the tables are trees with rows."""
    for table in ("sessions", "session_entries"):
        for order in ("ASC", "DESC"):
            query = f"SELECT rowid FROM {table} NOT INDEXED ORDER BY rowid {order} LIMIT 1"
            try:
                if connection.execute(query).fetchone():
                    return True
            except sqlite3.DatabaseError:
                continue
    return False


def _tried(copy: Path) -> sqlite3.Connection | None:
    connection = sqlite3.connect(copy, isolation_level=None)
    try:
        connection.execute("PRAGMA cell_size_check = ON")
        names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        if {"sessions", "session_entries", "shared_states"} <= names:
            return connection
    except sqlite3.DatabaseError:
        pass
    connection.close()
    return None


def _write_first_page(copy: Path) -> None:
    """The log is older than what is written here, and goes."""
    from session_store.backends.sql.sqlite.store import open_sqlite

    empty = copy.with_name("empty.db")
    open_sqlite(empty).close()
    first = empty.read_bytes()[:_PAGE]
    page = bytearray(first_page.made_from(copy, first) or first)
    page[28:40] = (copy.stat().st_size // _PAGE).to_bytes(4, "big") + bytes(8)
    with copy.open("r+b") as opened:
        opened.write(page)
    for suffix in ("-wal", "-shm", "-journal"):
        Path(f"{copy}{suffix}").unlink(missing_ok=True)
