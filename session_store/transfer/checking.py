"""What is in an export, checked as if it came from a stranger: nothing odd gets further."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NoReturn, TypeAlias

from session_store.backends.json_file.session import (
    exactly,
    from_json,
    name_of,
    shared_from_json,
    typed,
)
from session_store.core.queries import scan_order
from session_store.errors import CorruptStoreError, InvalidValueError
from session_store.session import SessionKey
from session_store.transfer import format as lines
from session_store.transfer.files import ExportFile, Line
from session_store.transfer.sessions import Shared, Stored

Item: TypeAlias = Stored | Shared

MAX_SESSION: Final = 512 * 1024 * 1024
"""Bytes of one session's lines, which are in memory together."""

_KEYS: Final = {
    "export": {"type", "format", "version", "created_at"},
    "shared": {"type", "app_name", "user_id", "document"},
    "end": {"type", "sessions", "entries", "shared", "sha256"},
}


def items(file: ExportFile) -> Iterator[Item]:
    """The sessions and shared documents of an export, in its order.

    ``ExportFormatError`` at the first line that is wrong. Whether all is well is known only at the
    end: nothing may be written before.
    """
    return _Reader(file).items()


class _Reader:
    def __init__(self, file: ExportFile) -> None:
        self._file, self._lines = file, file.lines()
        self._line: Line | None = None
        self._found: dict[str, Any] = {}
        self._sessions = self._entries = self._shared = 0
        self._last_key: tuple[str, str, str] | None = None
        self._last_scope: tuple[str, str] | None = None

    def items(self) -> Iterator[Item]:
        self._next()
        self._check_header()
        self._next()
        while self._found["type"] == "session":
            yield self._session()
        while self._found["type"] == "shared":
            yield self._document()
        self._check_end()

    @property
    def _at(self) -> Line:
        if self._line is None:
            raise self._file.error(0, "is empty")
        return self._line

    def _next(self) -> None:
        before = self._line
        self._line = next(self._lines, None)
        if self._line is None:
            number = before.number if before else 0
            raise self._file.error(number, "is the last line, and the export goes on after it")
        try:
            self._found = lines.parsed(self._line.text)
        except ValueError as error:
            self._refuse(str(error))

    def _refuse(self, problem: str) -> NoReturn:
        raise self._file.error(self._at.number, problem) from None

    def _check_header(self) -> None:
        found = self._found
        if found["type"] != "export" or found.get("format") != lines.FORMAT:
            self._refuse("no export of session-store begins like this")
        if found.get("version") != lines.VERSION:
            self._refuse(
                f"has version {str(found.get('version'))[:20]} of the format; this release reads "
                f"version {lines.VERSION}: use a newer one"
            )
        self._checked("export")

    def _checked(self, kind: str) -> dict[str, Any]:
        """The line's object, if it has the right members."""
        try:
            return exactly(self._found, _KEYS[kind], kind)
        except InvalidValueError as error:
            self._refuse(str(error))

    def _session(self) -> Stored:
        head, number, found = self._at, self._at.number, self._found
        texts, entries = self._entry_lines()
        self._check_digest(head, number, texts)
        try:
            stored = self._stored(found, entries)
        except (InvalidValueError, CorruptStoreError) as error:
            raise self._file.error(number, str(error)) from None
        self._check_order(stored.record.key, number)
        self._sessions += 1
        self._entries += len(entries)
        return stored

    def _entry_lines(self) -> tuple[list[bytes], list[dict[str, Any]]]:
        texts: list[bytes] = []
        entries: list[dict[str, Any]] = []
        size = 0
        self._next()
        while self._found["type"] == "entry":
            size += len(self._at.text)
            if size > MAX_SESSION:
                self._refuse(f"makes the session larger than {MAX_SESSION:,} bytes")
            del self._found["type"]
            texts.append(self._at.text)
            entries.append(self._found)
            self._next()
        return texts, entries

    def _check_digest(self, head: Line, number: int, texts: list[bytes]) -> None:
        try:
            bare = lines.unsealed(head.text)
        except ValueError as error:
            raise self._file.error(number, str(error)) from None
        if lines.sealed(bare, lines.session_digest(bare, texts)) != head.text:
            raise self._file.error(number, "this session does not match its checksum")

    def _stored(self, found: dict[str, Any], entries: list[dict[str, Any]]) -> Stored:
        body = {k: v for k, v in found.items() if k not in ("type", "sha256", "last_seq")}
        if typed(found.get("last_seq"), int, "last_seq") != len(entries):
            raise InvalidValueError("last_seq", f"is not {len(entries)}, the number of entries")
        parts = [typed(body.get(name), str, name) for name in SessionKey._fields]
        stored = from_json(name_of(SessionKey(*parts)), body | {"entries": entries})
        return Stored(stored.record, stored.entries)

    def _check_order(self, key: SessionKey, number: int) -> None:
        order = scan_order(key)
        if self._last_key is not None and order <= self._last_key:
            problem = "is there twice" if order == self._last_key else "is out of order"
            raise self._file.error(number, f"session {key} {problem}")
        self._last_key = order

    def _document(self) -> Shared:
        found = self._checked("shared")
        try:
            scope, document = shared_from_json(found)
        except InvalidValueError as error:
            self._refuse(str(error))
        if self._last_scope is not None and scope <= self._last_scope:
            self._refuse("this shared document is there twice, or out of order")
        self._last_scope = scope
        self._shared += 1
        self._next()
        return Shared(scope, document)

    def _check_end(self) -> None:
        if self._found["type"] != "end":
            self._refuse(f"has no type that may stand here: {self._found['type'][:40]!r}")
        found = self._checked("end")
        if found["sha256"] != self._at.digest():
            self._refuse("the export does not match its checksum: it was changed or is damaged")
        counts = {"sessions": self._sessions, "entries": self._entries, "shared": self._shared}
        if {name: found[name] for name in counts} != counts:
            self._refuse(f"counts differ from what was read: {counts}")
        if next(self._lines, None) is not None:
            raise self._file.error(self._at.number + 1, "stands after the end")
