"""``repair_store``: what can still be read of a damaged store, in a new one, and what is lost.

An entry that is lost leaves its number, so that those after it and the checkpoints keep theirs: one
of the kind ``lost`` without content stands in its place. Entries whose session's row is lost become
a session of the application ``lost``.
"""

from __future__ import annotations

import json
import re
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from session_store import codec
from session_store.backends import Storage, sqlite_file
from session_store.errors import (
    CorruptStoreError,
    InvalidValueError,
    SettingsError,
    TransferError,
)
from session_store.operations import Moment, Operation, Share
from session_store.reader import Clock, utc_now
from session_store.records import EntryRecord, SessionRecord, checked_entry
from session_store.repository import SessionRepository
from session_store.session import SessionKey, Status
from session_store.transfer import salvage
from session_store.transfer.sessions import Stored, checked, stamps

LOST: Final = "lost"
"""The kind of what stands in for a lost entry; the application of a session without its row."""

_SESSION: Final = ", ".join(SessionRecord._fields)
_ENTRY: Final = ", ".join(("session", *EntryRecord._fields))
_SHARED: Final = "app_name, user_id, document"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NAME: Final = re.compile(rb'\s*"((?:[^"\\]|\\.)*)": \{')


@dataclass(slots=True)
class RepairReport:
    """What the new store holds, and each thing that is lost, in words."""

    sessions: int = 0
    entries: int = 0
    shared: int = 0
    lost: list[str] = field(default_factory=list)


def repair_store(
    storage: Storage, destination: SessionRepository, *, clock: Clock = utc_now
) -> RepairReport:
    """Put what can be read of a damaged SQLite or JSON store into an empty one. The damaged one
    stays as it is.

    ``CorruptStoreError`` when nothing can be read; ``TransferError`` when the other is not empty.
    """
    if next(stamps(destination), None):
        raise TransferError("the store to recover into is not empty; nothing was written")
    if storage.type == "sqlite":
        return _Sqlite(sqlite_file(str(storage.path)), destination, clock).run()
    if storage.type == "file":
        return _Json(Path(str(storage.path), "sessions.json"), destination, clock).run()
    raise SettingsError("a file is repaired; for PostgreSQL restore a backup")


class _Repair:
    def __init__(self, file: Path, destination: SessionRepository, clock: Clock) -> None:
        if not file.is_file():
            raise TransferError(f"there is no {file}; is the path right?")
        self._file, self._destination, self._clock = file, destination, clock
        self.report = RepairReport()

    def lose(self, what: str) -> None:
        self.report.lost.append(what)

    def put(self, stored: Stored) -> None:
        try:
            put = checked(stored)
            self._destination.commit([put])
        except (TransferError, InvalidValueError) as error:
            self.lose(str(error))
            return
        self.report.sessions += 1
        self.report.entries += sum(entry.kind != LOST for entry in put.entries)

    def share(self, app_name: Any, user_id: Any, document: Any) -> None:
        try:
            text = codec.encode_document(codec.decode(document, "document"), "document")
            codec.identifier(app_name, "app_name")
            share = Share(app_name, user_id, text, Moment(self._clock()))
            operations: list[Operation] = [share]
            self._destination.commit(operations)
        except (CorruptStoreError, InvalidValueError, TypeError) as error:
            self.lose(f"shared document of {app_name!r}, {user_id!r}: {error}")
            return
        self.report.shared += 1


class _Sqlite(_Repair):
    def run(self) -> RepairReport:
        with (
            tempfile.TemporaryDirectory(prefix="session-store-") as directory,
            closing(sqlite3.connect(Path(directory, "rows.db"))) as scratch,
        ):
            self._collect(scratch)
            self._sessions(scratch)
            self._orphans(scratch)
            for _, *shared in scratch.execute("SELECT * FROM shared_states"):
                self.share(*shared)
        return self.report

    def _collect(self, scratch: sqlite3.Connection) -> None:
        """Every readable row, where it can be asked for without meeting a damaged page."""
        place = f"{self._file.absolute().as_uri()}?mode=ro"
        tables = {"sessions": _SESSION, "session_entries": _ENTRY, "shared_states": _SHARED}
        with closing(sqlite3.connect(place, uri=True)) as damaged:
            for table, columns in tables.items():
                names = [f'"{name}"' for name in columns.split(", ")]
                scratch.execute(f"CREATE TABLE {table} (id, {', '.join(names)})")
                places = ", ".join("?" for _ in range(len(names) + 1))
                found = self._rows(damaged, table, ", ".join(names))
                scratch.executemany(f"INSERT INTO {table} VALUES ({places})", found)  # noqa: S608
        scratch.execute("CREATE INDEX by_session ON session_entries (session, seq)")

    def _rows(self, damaged: sqlite3.Connection, table: str, columns: str) -> Iterator[Any]:
        def lost(first: int, last: int | None) -> None:
            self.lose(f"{table}: rows {first} to {'the end' if last is None else last}")

        try:
            damaged.execute(f"SELECT 1 FROM {table} WHERE 0")  # noqa: S608
        except sqlite3.DatabaseError as error:
            raise CorruptStoreError(f"{self._file}: nothing can be read of it ({error})") from None
        yield from salvage.rows(damaged, table, columns, lost)

    def _sessions(self, scratch: sqlite3.Connection) -> None:
        for number, *row in scratch.execute("SELECT * FROM sessions"):
            record = self._record(number, row)
            if record is None:
                self.lose(f"sessions: row {number} has no readable key")
            else:
                self.put(self._whole(record, self._entries(scratch, number)))

    def _orphans(self, scratch: sqlite3.Connection) -> None:
        """Entries of a session whose row is lost; its key is lost with it."""
        query = (
            "SELECT session, max(seq), max(version) FROM session_entries "
            "WHERE session NOT IN (SELECT id FROM sessions) GROUP BY session"
        )
        for number, last_seq, version in scratch.execute(query).fetchall():
            key = SessionKey(LOST, LOST, f"row-{number}")
            self.lose(f"sessions: the row of {last_seq} entries, which are now session {key}")
            documents = dict.fromkeys(("state", "agent_states", "metadata"), "{}")
            record = SessionRecord(
                *key,
                Status.FAILED.value,
                version,
                last_seq,
                _EPOCH,
                _EPOCH,
                None,
                None,
                **documents,
            )
            self.put(self._whole(record, self._entries(scratch, number)))

    def _entries(self, scratch: sqlite3.Connection, number: int) -> Iterator[Sequence[Any]]:
        columns = ", ".join(EntryRecord._fields)
        query = f"SELECT {columns} FROM session_entries WHERE session = ? ORDER BY seq"  # noqa: S608
        return iter(scratch.execute(query, (number,)).fetchall())

    def _record(self, number: int, row: Sequence[Any]) -> SessionRecord | None:
        record = SessionRecord(*row)
        try:
            key = SessionKey(*(codec.identifier(part, "key") for part in record.key))
        except InvalidValueError:
            return None
        return SessionRecord(
            *key,
            status=self._status(record),
            version=self._number(record.version, 1),
            last_seq=self._number(record.last_seq, 0),
            created_at=self._time(record.created_at, key, "created_at") or _EPOCH,
            updated_at=self._time(record.updated_at, key, "updated_at") or _EPOCH,
            completed_at=self._time(record.completed_at, key, "completed_at"),
            expires_at=self._time(record.expires_at, key, "expires_at"),
            state=self._document(record.state, key, "state"),
            agent_states=self._document(record.agent_states, key, "agent_states"),
            metadata=self._document(record.metadata, key, "metadata"),
        )

    def _status(self, record: SessionRecord) -> str:
        if record.status in tuple(Status):
            return record.status
        self.lose(f"session {record.key}: its status")
        return Status.FAILED.value

    def _number(self, found: Any, least: int) -> int:
        return found if type(found) is int and least <= found < 2**62 else least

    def _time(self, found: Any, key: SessionKey, name: str) -> datetime | None:
        try:
            return None if found is None else codec.decode_time(found, name)
        except CorruptStoreError:
            self.lose(f"session {key}: its {name}")
            return None

    def _document(self, found: Any, key: SessionKey, name: str) -> str:
        try:
            encode = codec.encode_agents if name == "agent_states" else codec.encode_document
            return encode(codec.decode(found, name), name)
        except (CorruptStoreError, InvalidValueError, TypeError):
            self.lose(f"session {key}: its {name}")
            return "{}"

    def _whole(self, record: SessionRecord, found: Iterable[Sequence[Any]]) -> Stored:
        """The session with an entry for every number up to the last."""
        entries = self._readable(record, found)
        missing = [n for n in range(1, record.last_seq + 1) if n not in entries]
        if missing:
            self.lose(f"session {record.key}: {_spans(missing)} of its {record.last_seq} entries")
        history, time = [], record.created_at
        for seq in range(1, record.last_seq + 1):
            entry = entries.get(seq) or EntryRecord(seq, f"{LOST}-{seq}", LOST, "null", time, 1)
            history.append(entry)
            time = entry.created_at
        return Stored(record, history)

    def _readable(
        self, record: SessionRecord, found: Iterable[Sequence[Any]]
    ) -> dict[int, EntryRecord]:
        entries: dict[int, EntryRecord] = {}
        ids: set[str] = set()
        for seq, entry_id, kind, payload, created_at, version in found:
            try:
                time = codec.decode_time(created_at, "created_at")
                entry = checked_entry((seq, entry_id, kind, payload, time, version))
            except (CorruptStoreError, InvalidValueError, TypeError):
                continue
            is_right = 1 <= entry.seq <= record.last_seq and 1 <= entry.version <= record.version
            if is_right and entry.seq not in entries and entry.entry_id not in ids:
                entries[entry.seq] = entry
                ids.add(entry.entry_id)
        return entries


class _Json(_Repair):
    """The sessions of the file that can be read, each by itself, and of its backup the others."""

    def run(self) -> RepairReport:
        backup = self._file.with_name("sessions.json.bak")
        data, older = (one.read_bytes() if one.is_file() else b"" for one in (self._file, backup))
        found = self._read(data)
        for name, stored in self._read(older).items():
            if stored and not found.get(name):
                self.lose(f"session {name}: what was written since the backup")
                found[name] = stored
        if not any(found.values()):
            raise CorruptStoreError(f"{self._file}: no session can be read in it")
        for name, stored in found.items():
            if stored is None:
                self.lose(f"session {name}")
            else:
                self.put(stored)
        if not (self._share_all(data) or self._share_all(older)):
            self.lose("the shared documents")
        return self.report

    def _read(self, data: bytes) -> dict[str, Stored | None]:
        """By the name of the session; ``None`` where it can't be read."""
        from session_store.backends.json_session import from_json

        found: dict[str, Stored | None] = {}
        for text in _members(data):
            name = _name(text)
            try:
                ((_, body),) = codec.decode(b"{%b}" % text, name).items()
                stored = from_json(name, body)
                found[name] = Stored(stored.record, stored.entries)
            except (CorruptStoreError, ValueError):
                found.setdefault(name, None)
        return found

    def _share_all(self, data: bytes) -> bool:
        start = data.rfind(b'"shared_states": ')
        text = data[start + len(b'"shared_states": ') :].strip().removesuffix(b"}")
        try:
            every = [(one["app_name"], one["user_id"], one["document"]) for one in json.loads(text)]
        except (ValueError, KeyError, TypeError):
            return False
        for app_name, user_id, document in every:
            self.share(app_name, user_id, json.dumps(document))
        return True


def _members(data: bytes) -> list[bytes]:
    """The text of each session: its end stands alone on a line, which no string of JSON holds."""
    start = data.find(b'"sessions": {\n')
    end = data.rfind(b'\n  },\n  "shared_states"')
    body = data[start + len(b'"sessions": {\n') : end if end > start else len(data)]
    parts = re.split(rb"\n    \},?(?:\n|$)", body) if start >= 0 else []
    return [part + b"\n    }" for part in parts if _NAME.match(part)]


def _name(text: bytes) -> str:
    found = _NAME.match(text)
    return found[1].decode(errors="replace") if found else "?"


def _spans(numbers: Sequence[int]) -> str:
    """``3, 5 to 9``."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ", ".join(f"{a}" if a == b else f"{a} to {b}" for a, b in spans)
