"""What ``repair_store`` does with what was read of a damaged store: into the new one, or aside.

Only what passes every rule gets into the new store, and of a history only its beginning without a
gap: entries that were numbered anew, or stood in for, would not be what was said. The rest goes to
a side file, as it was read, for who wants to look at it.
"""

from __future__ import annotations

import base64
import json
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple, Self

from session_store.core import codec
from session_store.core.operations import Moment, Operation, Put, Share
from session_store.core.records import EntryRecord
from session_store.errors import SessionExistsError, TransferError
from session_store.maintenance.findings import Finding, OnFinding, name_of, runs, spans
from session_store.maintenance.rules import Rules, gaps_in
from session_store.repository import SessionRepository
from session_store.session import SessionKey
from session_store.transfer import files
from session_store.transfer.sessions import BATCH_BYTES, Stored, checked

ROW: Final = 1024
"""Bytes that a session or an entry weighs beside its texts, in what is written together."""


@dataclass(slots=True)
class RepairReport:
    """What the new store holds; how many losses were told; how many lines are in the side file."""

    sessions: int = 0
    entries: int = 0
    shared: int = 0
    lost: int = 0
    aside: int = 0


class Found(NamedTuple):
    """A session as it was read: ``record`` by fields, ``entries`` the fields of an ``EntryRecord``
    each, in the order of ``seq``."""

    name: str
    record: Mapping[str, Any]
    entries: Iterable[Sequence[Any]]
    stored: Callable[[Mapping[str, Any], Sequence[Any]], Stored]
    """The records of what has passed the rules."""


class Rebuild:
    """One repair into an empty store."""

    def __init__(
        self, place: str, rules: Rules, destination: SessionRepository, on_lost: OnFinding
    ) -> None:
        self.place, self.rules = place, rules
        self.report = RepairReport()
        self._destination, self._on_lost = destination, on_lost
        self._aside = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
        self._waiting: list[Put] = []
        self._weight = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._aside.close()

    def lose(self, problem: str, **where: Any) -> None:
        self.report.lost += 1
        self._on_lost(Finding(place=self.place, problem=problem, **where))

    def aside(self, kind: str, fields: Mapping[str, Any]) -> None:
        """Keep what was read, as it is; texts with JSON in them stay texts."""
        line = json.dumps({"type": kind, **fields}, default=_encoded)
        self._aside.write(f"{line}\n".encode())
        self.report.aside += 1

    def session(self, found: Found) -> None:
        problems = list(self.rules.head(found.record))
        for problem in problems:
            self.lose(
                f"{problem.problem}; the session is in the side file",
                session=found.name,
                field=problem.field,
            )
        if problems:
            self.set_aside(found)
            return
        kept = self._beginning(found)
        try:
            stored = found.stored({**found.record, "last_seq": len(kept)}, kept)
            self._put(checked(stored), stored.size)
        except TransferError as error:
            self.lose(str(error), session=found.name)
            self.set_aside(found._replace(entries=kept))

    def set_aside(self, found: Found) -> None:
        self.aside("session", found.record)
        for entry in found.entries:
            self._set_entry_aside(found, entry)

    def share(self, app: Any, user: Any, document: Any, now: datetime) -> None:
        problems = list(self.rules.shared(app, user, document))
        for problem in problems:
            self.lose(f"shared document of {(app, user)}: {problem.problem}", field=problem.field)
        if problems:
            self.aside("shared", {"app_name": app, "user_id": user, "document": document})
            return
        text = codec.encode_document(self.rules.decode(document, "document"), "document")
        self._destination.commit((Share(app, user, text, Moment(now)),))
        self.report.shared += 1

    def finish(self, path: str) -> RepairReport:
        """Write what waits, and the side file if there is anything for it."""
        self._flush()
        if self.report.aside:
            self._aside.seek(0)
            files.write(path, self._aside)
        return self.report

    def _beginning(self, found: Found) -> list[Sequence[Any]]:
        """The entries 1, 2, 3… up to the first that is lost; those after it go aside."""
        kept: list[Sequence[Any]] = []
        after: list[int] = []
        ids: set[str] = set()
        for row in found.entries:
            entry = EntryRecord(*row)
            is_right = not after and entry.seq == len(kept) + 1 and entry.entry_id not in ids
            if is_right and not any(self.rules.entry(entry, found.record["version"])):
                kept.append(row)
                ids.add(entry.entry_id)
            else:
                after.append(entry.seq if type(entry.seq) is int else 0)
                self._set_entry_aside(found, row)
        self._tell_of_the_end(found, len(kept), after)
        return kept

    def _tell_of_the_end(self, found: Found, kept: int, after: list[int]) -> None:
        last = found.record["last_seq"]
        gaps = gaps_in([*range(1, kept + 1), *after], last)
        if not after and not gaps:
            return
        lost = f"entries {spans(gaps)} can't be read; " if gaps else ""
        rest = f"{spans(runs(after))} are in the side file; " if after else ""
        self.lose(f"{lost}{rest}it ends with {kept} of {last}", session=found.name, field="seq")

    def _set_entry_aside(self, found: Found, row: Sequence[Any]) -> None:
        key = {name: found.record.get(name) for name in SessionKey._fields}
        self.aside("entry", {**key, **dict(zip(EntryRecord._fields, row, strict=True))})

    def _put(self, put: Put, size: int) -> None:
        self._waiting.append(put)
        self._weight += ROW * (1 + len(put.entries)) + size
        if self._weight >= BATCH_BYTES:
            self._flush()

    def _flush(self) -> None:
        puts, self._waiting, self._weight = self._waiting, [], 0
        try:
            self._commit(puts)
        except SessionExistsError:
            for put in puts:
                self._put_alone(put)

    def _put_alone(self, put: Put) -> None:
        try:
            self._commit([put])
        except SessionExistsError:
            self.lose("is there twice; this one is in the side file", session=str(put.key))
            self.aside("session", put.record._asdict())
            for entry in put.entries:
                self.aside("entry", {**put.key._asdict(), **entry._asdict()})

    def _commit(self, puts: Sequence[Put]) -> None:
        operations: list[Operation] = [*puts]
        if operations:
            self._destination.commit(operations)
            self.report.sessions += len(puts)
            self.report.entries += sum(len(put.entries) for put in puts)


def _encoded(value: Any) -> Any:
    """Bytes that are no text; times of records."""
    return {"base64": base64.b64encode(value).decode()} if isinstance(value, bytes) else str(value)


def key_of(record: Mapping[str, Any]) -> str:
    return name_of(tuple(record[name] for name in SessionKey._fields))
