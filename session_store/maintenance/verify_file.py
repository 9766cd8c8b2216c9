"""Verifying ``sessions.json`` and its backup: by the checksum, then all that is in them.

A file is read whole, as by the store itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from session_store.backends import legacy
from session_store.backends.json_file import atomic_file
from session_store.backends.json_file.format import FORMAT, SHARED, TOP, revision_in
from session_store.backends.json_file.recovery import backup_of
from session_store.backends.json_file.sections import is_intact
from session_store.backends.json_file.session import SESSION, exactly, name_of
from session_store.core import codec
from session_store.core.records import EntryRecord, SessionRecord
from session_store.errors import CorruptStoreError, InvalidValueError, StoreUnavailableError
from session_store.maintenance.findings import Finding, OnFinding, VerifyReport
from session_store.maintenance.rules import Problem, Rules
from session_store.session import SessionKey
from session_store.transfer.sessions import Progress


def verify_file(
    path: Path, report: VerifyReport, on_finding: OnFinding, on_progress: Progress
) -> None:
    """The backup is read first: then the file, of a moment after it, can't be the older one."""
    backup = atomic_file.read(backup_of(path))
    found = atomic_file.read(path)
    if found is None and backup is None:
        raise StoreUnavailableError(f"there is no store {path}; is the path right?")
    check = FileCheck(path, report, on_finding)
    check.run(found and found[0])
    if backup:
        FileCheck(backup_of(path), VerifyReport(), check.tell_as_it_is).run(backup[0])
        older, newer = (revision_in(one[0]) or 0 if one else 0 for one in (backup, found))
        if found and older > newer > 0:
            check.tell("is older than its backup, of which the next opening makes the file")
    size = report.sessions + report.entries
    on_progress(size, size)


class FileCheck:
    """One run over the bytes of a file."""

    def __init__(self, path: Path, report: VerifyReport, on_finding: OnFinding) -> None:
        self._path, self._report, self._on_finding = path, report, on_finding
        self._rules = Rules(stored_time, lambda value, _: value)

    def run(self, data: bytes | None) -> None:
        if data is None:
            self.tell("is missing; the next opening restores its backup")
            return
        try:
            found = codec.decode(data, "it")
        except CorruptStoreError as error:
            self.tell(str(error).removeprefix("it "))
            return
        if not isinstance(found, dict) or not isinstance(found.get("sessions"), dict):
            self.tell("is JSON, but not sessions that this package stored")
        elif "format" not in found:
            self._check_legacy(found["sessions"])
        else:
            self._check(data, found)

    def tell(self, problem: str, **where: Any) -> None:
        self.tell_as_it_is(Finding(place=str(self._path), problem=problem, **where))

    def tell_as_it_is(self, finding: Finding) -> None:
        self._report.wrong += 1
        self._on_finding(finding)

    def _check(self, data: bytes, found: dict[str, Any]) -> None:
        if found["format"] != FORMAT:
            self.tell("has the format of another release; verify it with that one")
            return
        if not is_intact(data):
            self.tell(
                "does not match its checksum: it was edited by hand, or is damaged; "
                "`session-store accept` is for an edit"
            )
        self._check_keys(found, TOP)
        if type(found.get("revision")) is not int or found["revision"] < 0:
            self.tell("is no integer of 0 or more", field="revision")
        for name, body in found["sessions"].items():
            self._check_session(name, body)
        self._check_shared(found.get("shared_states"))

    def _check_session(self, name: str, body: Any) -> None:
        if not isinstance(body, dict):
            self.tell("is no object", session=name)
            return
        self._check_keys(body, SESSION, session=name)
        entries = body.get("entries")
        if not isinstance(entries, list):
            self.tell("is no array", session=name, field="entries")
            entries = []
        rows = [self._entry(name, place, entry) for place, entry in enumerate(entries, 1)]
        record = {**dict.fromkeys(SessionRecord._fields), **body, "last_seq": len(entries)}
        for problem in self._rules.session(record, [row for row in rows if row]):
            self._tell_of(name, problem)
        self._check_name(name, [record[part] for part in SessionKey._fields])
        self._report.sessions += 1
        self._report.entries += len(entries)

    def _entry(self, name: str, place: int, entry: Any) -> tuple[Any, ...] | None:
        if not isinstance(entry, dict):
            self.tell("is no object", session=name, seq=place)
            return None
        self._check_keys(entry, {*EntryRecord._fields}, session=name, seq=place)
        if isinstance(entry.get("seq"), int) and entry["seq"] != place:
            self.tell(f"stands where {place} must", session=name, seq=entry["seq"], field="seq")
        return tuple(entry.get(field) for field in EntryRecord._fields)

    def _check_name(self, name: str, key: list[Any]) -> None:
        if all(isinstance(part, str) for part in key) and name_of(SessionKey(*key)) != name:
            self.tell("stands under the name of another session", session=name)

    def _check_shared(self, found: Any) -> None:
        if not isinstance(found, list):
            self.tell("is no array", field="shared_states")
            return
        scopes = set()
        for number, one in enumerate(found):
            place = f"shared_states[{number}]"
            if not isinstance(one, dict):
                self.tell("is no object", field=place)
                continue
            self._check_keys(one, SHARED, field=place)
            scope, document = (one.get("app_name"), one.get("user_id")), one.get("document")
            for problem in self._rules.shared(*scope, document):
                self.tell(problem.problem, field=f"{place}.{problem.field}")
            if repr(scope) in scopes:
                self.tell("is the second one of this app_name and user_id", field=place)
            scopes.add(repr(scope))
            self._report.shared += document != {}

    def _check_legacy(self, found: Mapping[str, Any]) -> None:
        """Of the program before this package, which has its own rules."""
        for name, session in found.items():
            try:
                _, entries = legacy.converted(session)
            except CorruptStoreError as error:
                self.tell(str(error), session=name)
                continue
            self._report.sessions += 1
            self._report.entries += len(entries)

    def _check_keys(self, found: dict[str, Any], keys: set[str], **where: Any) -> None:
        try:
            exactly(found, keys, "it")
        except InvalidValueError as error:
            self.tell(error.problem, **where)

    def _tell_of(self, name: str, found: Problem) -> None:
        self.tell(found.problem, session=name, seq=found.seq, field=found.field)


def stored_time(value: Any, place: str) -> datetime:
    """Only with its ``Z``: a time without a zone would be taken for local time."""
    time = codec.decode_time(value, place)
    if not value.endswith("Z"):
        raise CorruptStoreError(f"{place} has no Z at its end")
    return time
