"""What is right in a store, for values from anywhere: each rule looks at what no reader would take.

All that is wrong with a session is told, not the first of it; so these are not the readers' checks,
which end at that. What a value may be is the codec's to say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple, TypeAlias

from session_store.core import codec
from session_store.core.records import MAX_VERSION, EntryRecord, SessionRecord
from session_store.errors import CorruptStoreError, InvalidValueError
from session_store.maintenance.findings import runs, spans
from session_store.session import CHECKPOINT, Documents, SessionKey, Status

ToTime: TypeAlias = Callable[[Any, str], datetime]

_KEY: Final = SessionKey._fields
_DOCUMENTS: Final = tuple(Documents.model_fields)
_STATUSES: Final = tuple(Status)


class Problem(NamedTuple):
    """``seq``: of the entry that it is about, if it is about one."""

    field: str | None
    problem: str
    seq: int | None = None


class Rules:
    """``to_time`` reads a time as it is stored, and ``decode`` JSON, of which some stores give the
    value and not the text."""

    def __init__(self, to_time: ToTime, decode: Callable[[Any, str], Any] = codec.decode) -> None:
        self._to_time, self.decode = to_time, decode

    def session(
        self, record: Mapping[str, Any], entries: Iterable[Sequence[Any]]
    ) -> Iterator[Problem]:
        """Of a session with its whole history, in the order of ``seq``: the fields of an
        ``EntryRecord`` each."""
        yield from self.head(record)
        yield from self._history(record, entries)

    def head(self, record: Mapping[str, Any]) -> Iterator[Problem]:
        for name in _KEY:
            yield from _refused(name, codec.identifier, record[name], name)
        if record["status"] not in _STATUSES:
            yield Problem("status", "is none that a session can have")
        if not _is_count(record["version"], 1):
            yield Problem("version", "is no integer of 1 or more")
        if not _is_count(record["last_seq"], 0):
            yield Problem("last_seq", "is no integer of 0 or more")
        for name in ("created_at", "updated_at"):
            yield from _refused(name, self._to_time, record[name], name)
        for name in ("completed_at", "expires_at"):
            if record[name] is not None:
                yield from _refused(name, self._to_time, record[name], name)
        for name in _DOCUMENTS:
            yield from self._document(name, record[name])

    def shared(self, app_name: Any, user_id: Any, document: Any) -> Iterator[Problem]:
        """``updated_at`` is apart: the JSON file has none."""
        yield from _refused("app_name", codec.identifier, app_name, "app_name")
        if user_id != "":
            yield from _refused("user_id", codec.identifier, user_id, "user_id")
        yield from self._document("document", document)

    def time(self, name: str, value: Any) -> Iterator[Problem]:
        yield from _refused(name, self._to_time, value, name)

    def entry(self, entry: EntryRecord, version: Any) -> Iterator[Problem]:
        """``version``: the session's."""
        found = [
            *_refused("entry_id", codec.identifier, entry.entry_id, "entry_id"),
            *_refused("kind", codec.identifier, entry.kind, "kind", codec.MAX_KIND_BYTES),
            *_refused("created_at", self._to_time, entry.created_at, "created_at"),
            *self._payload(entry),
        ]
        if not _is_count(entry.version, 1):
            found.append(Problem("version", "is no integer of 1 or more"))
        elif _is_count(version, 1) and entry.version > version:
            found.append(Problem("version", "is greater than the session's"))
        yield from (one._replace(seq=entry.seq) for one in found)

    def _history(
        self, record: Mapping[str, Any], entries: Iterable[Sequence[Any]]
    ) -> Iterator[Problem]:
        seqs: list[int] = []
        ids: set[str] = set()
        for row in entries:
            entry = EntryRecord(*row)
            if type(entry.seq) is not int:
                yield Problem("seq", "is no integer")
                continue
            yield from self.entry(entry, record["version"])
            if repr(entry.entry_id) in ids:
                yield Problem("entry_id", "is another entry's too", entry.seq)
            ids.add(repr(entry.entry_id))
            seqs.append(entry.seq)
        if _is_count(record["last_seq"], 0):
            yield from _numbered(seqs, record["last_seq"])

    def _payload(self, entry: EntryRecord) -> Iterator[Problem]:
        try:
            value = self.decode(entry.payload, "payload")
            codec.encode(value, "payload")
        except (InvalidValueError, CorruptStoreError, TypeError) as error:
            yield _problem("payload", error)
            return
        if entry.kind == CHECKPOINT and not _is_checkpoint(value):
            yield Problem("payload", "is a checkpoint that lacks its status or a document")

    def _document(self, name: str, text: Any) -> Iterator[Problem]:
        encode = codec.encode_agents if name == "agent_states" else codec.encode_document
        try:
            encode(self.decode(text, name), name)
        except (InvalidValueError, CorruptStoreError, TypeError) as error:
            yield _problem(name, error)


def _numbered(seqs: list[int], last: int) -> Iterator[Problem]:
    """Whether they are 1, 2, 3… up to the last one."""
    if gaps := gaps_in(seqs, last):
        yield Problem("seq", f"missing or unreadable: {spans(gaps)} of {last}")
    if more := runs(seq for seq in seqs if not 1 <= seq <= last):
        yield Problem("seq", f"not from 1 to last_seq, which is {last}: {spans(more)}")
    if len(set(seqs)) < len(seqs):
        twice = runs(seq for seq, count in Counter(seqs).items() if count > 1)
        yield Problem("seq", f"there twice: {spans(twice)}")


def gaps_in(seqs: Iterable[int], last: int) -> list[tuple[int, int]]:
    """The first and the last of the numbers up to ``last`` that are missing, however many."""
    found, following = [], 1
    for first, end in [*runs(seq for seq in seqs if 1 <= seq <= last), (last + 1, last + 1)]:
        if first > following:
            found.append((following, first - 1))
        following = end + 1
    return found


def _is_checkpoint(payload: Any) -> bool:
    return (
        isinstance(payload, dict)
        and payload.get("status") in _STATUSES
        and all(isinstance(payload.get(name), dict) for name in _DOCUMENTS)
    )


def _is_count(value: Any, least: int) -> bool:
    return type(value) is int and least <= value < MAX_VERSION


def _refused(field: str, check: Callable[..., Any], *arguments: Any) -> Iterator[Problem]:
    try:
        check(*arguments)
    except (InvalidValueError, CorruptStoreError, TypeError) as error:
        yield _problem(field, error)


def _problem(field: str, error: Exception) -> Problem:
    if isinstance(error, InvalidValueError):
        return Problem(error.path, error.problem)
    if isinstance(error, CorruptStoreError):
        return Problem(field, str(error).removeprefix(f"{field} "))
    return Problem(field, "is of another type than it must be")


def record_of(row: Sequence[Any]) -> dict[str, Any]:
    """The fields of a ``SessionRecord`` by their names, whatever they are."""
    return dict(zip(SessionRecord._fields, row, strict=True))
