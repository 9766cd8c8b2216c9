"""One session in ``sessions.json``: its text, and the checks with which it is read back.

Documents and payloads stand in the text as the codec wrote them. What is read is checked as if
it came from a stranger, because people edit these files: anything odd is refused with its place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import count
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import quote

from session_store.backends.json_file.checksum import BLOCK, EMPTY_END, END, OPENING, Hash, Text
from session_store.backends.memory import Stored
from session_store.core import codec
from session_store.core.decisions import SharedScope
from session_store.core.records import MAX_VERSION, EntryRecord, SessionRecord
from session_store.errors import CorruptStoreError, InvalidValueError
from session_store.session import SessionKey, Status

_LINE: Final = b'\n        {"seq":'
_ENTRY: Final = {*EntryRecord._fields}
SESSION: Final = {*SessionRecord._fields, "entries"} - {"last_seq"}
_KINDS: Final = {dict: "an object", list: "an array", int: "an integer", str: "a string"}
_Kind = TypeVar("_Kind", dict[str, Any], list[Any], int, str)


class Fragment(NamedTuple):
    """A state of a session and its text."""

    stored: Stored
    text: Text


def encoded(stored: Stored, known: Fragment | None = None) -> Fragment:
    """A member of the file's ``sessions``: one field a line, one entry a line.

    The entries that ``known``, a state before, begins with are not encoded again.
    """
    old = known.stored.entries if known else ()
    if known is None or stored.entries[: len(old)] != old:  # rewound, or another one of its key
        known, old = None, ()
    before, hashed = (known.text.history, known.text.hashed) if known else ((), hashlib.sha256())
    history, hashed = _extended(before, hashed, stored.entries[len(old) :])
    end = END if history else EMPTY_END
    return Fragment(stored, Text.of(_head(stored.record), history, end, hashed))


def decoded(stored: Stored, text: Text) -> Fragment:
    """The fragment of a text that was read; one that somebody else has laid out is encoded anew."""
    return Fragment(stored, text) if _is_ours(text, len(stored.entries)) else encoded(stored)


def shortened(text: bytes, known: Fragment) -> tuple[bytes, tuple[EntryRecord, ...]]:
    """A text without the entries that it has in common with ``known``, and these; none if it does
    not begin with all that ``known`` has."""
    start, history = text.find(OPENING) + len(OPENING), b"".join(known.text.history)
    end = start + len(history)
    if start < len(OPENING) or not text.startswith(history, start):
        return text, ()
    return text[:start] + text[end:].removeprefix(b","), known.stored.entries


def from_json(name: str, found: Any, before: tuple[EntryRecord, ...] = ()) -> Stored:
    """The session that ``encoded`` wrote; ``CorruptStoreError`` says what is wrong with another.

    ``before``: its first entries, which ``found`` lacks.
    """
    try:
        body = exactly(found, SESSION, "it")
        new = map(_entry, typed(body["entries"], list, "entries"), count(len(before) + 1))
        entries = before + tuple(new)
        stored = Stored(record_from_json(body, len(entries)), entries)
        _check_together(name, stored)
    except (InvalidValueError, CorruptStoreError) as error:
        raise CorruptStoreError(f"session {name}: {error}") from None
    return stored


def shared_from_json(found: Mapping[str, Any], place: str = "") -> tuple[SharedScope, str]:
    """Whose a shared document is, and its text; ``place`` stands before the names of its fields."""
    user = typed(found["user_id"], str, f"{place}user_id")
    scope = codec.identifier(found["app_name"], f"{place}app_name"), user
    if user:
        codec.identifier(user, f"{place}user_id")
    return scope, codec.encode_document(found["document"], f"{place}document")


def block(opening: str, lines: list[str], closing: str) -> str:
    """Lines between brackets, of which the closing one is indented."""
    return "\n".join((opening, ",\n".join(lines), closing)) if lines else opening + closing.strip()


def quoted(text: str) -> str:
    return codec.encode(text, "text")


def typed(found: Any, kind: type[_Kind], place: str) -> _Kind:
    """``found``, if it is of just this JSON type: ``true`` is no integer."""
    if type(found) is not kind:
        raise InvalidValueError(place, f"must be {_KINDS[kind]}, not {type(found).__name__}")
    return found


def exactly(found: Any, keys: set[str], place: str) -> dict[str, Any]:
    """``found``, if it is an object of these keys: no other one can be kept."""
    body = typed(found, dict, place)
    if body.keys() != keys:
        odd = ", ".join(sorted(body.keys() ^ keys))
        raise InvalidValueError(place, f"lacks keys, or has some that don't belong there: {odd}")
    return body


def _extended(
    history: tuple[bytes, ...], hashed: Hash, entries: Sequence[EntryRecord]
) -> tuple[tuple[bytes, ...], Hash]:
    """The history with these entries too, and the hash of that."""
    if not entries:
        return history, hashed
    lines = ",\n".join(f"        {entry_text(entry)}" for entry in entries)
    new = f"{',' if history else ''}\n{lines}".encode()
    hashed = hashed.copy()
    hashed.update(new)
    if history and len(history[-1]) < BLOCK:
        return (*history[:-1], history[-1] + new), hashed
    return (*history, new), hashed


def _is_ours(text: Text, entries: int) -> bool:
    """Whether each entry has its line, and nothing stands where there is none."""
    lines = b"".join(text.history)
    return (
        text.end == (END if entries else EMPTY_END)
        and bool(lines) == bool(entries)
        and lines.count(_LINE) == lines.count(b"\n") == entries
    )


def _check_together(name: str, stored: Stored) -> None:
    record, entries = stored
    if name != name_of(record.key):
        raise InvalidValueError("app_name, user_id, session_id", f"are of {name_of(record.key)}")
    if len({entry.entry_id for entry in entries}) != len(entries):
        raise InvalidValueError("entries", "have the same entry_id twice")
    versions = record.version, *(entry.version for entry in entries)
    if not all(1 <= version <= record.version < MAX_VERSION for version in versions):
        raise InvalidValueError("version", "must be 1 or more, an entry's at most its session's")


def _head(record: SessionRecord) -> bytes:
    lines = ",\n".join(f'      "{name}": {text}' for name, text in fields(record).items())
    return f'    {quoted(name_of(record.key))}: {{\n{lines},\n      "entries": ['.encode()


def fields(record: SessionRecord) -> dict[str, str]:
    return {
        "app_name": quoted(record.app_name),
        "user_id": quoted(record.user_id),
        "session_id": quoted(record.session_id),
        "status": quoted(record.status),
        "version": str(record.version),
        "created_at": _time_text(record.created_at),
        "updated_at": _time_text(record.updated_at),
        "completed_at": _time_text(record.completed_at),
        "expires_at": _time_text(record.expires_at),
        "state": record.state,
        "agent_states": record.agent_states,
        "metadata": record.metadata,
    }


def entry_text(entry: EntryRecord) -> str:
    return (
        f'{{"seq":{entry.seq},"entry_id":{quoted(entry.entry_id)},"kind":{quoted(entry.kind)},'
        f'"created_at":{_time_text(entry.created_at)},"version":{entry.version},'
        f'"payload":{entry.payload}}}'
    )


def name_of(key: SessionKey) -> str:
    return "/".join(quote(part, safe="") for part in key)


def _time_text(time: datetime | None) -> str:
    return "null" if time is None else f'"{codec.encode_time(time)}"'


def record_from_json(body: Mapping[str, Any], last_seq: int) -> SessionRecord:
    """Of the fields that ``fields`` wrote, each checked."""
    return SessionRecord(
        app_name=codec.identifier(body["app_name"], "app_name"),
        user_id=codec.identifier(body["user_id"], "user_id"),
        session_id=codec.identifier(body["session_id"], "session_id"),
        status=_status(body["status"]),
        version=typed(body["version"], int, "version"),
        last_seq=last_seq,
        created_at=_time(body["created_at"], "created_at"),
        updated_at=_time(body["updated_at"], "updated_at"),
        completed_at=_time_or_none(body["completed_at"], "completed_at"),
        expires_at=_time_or_none(body["expires_at"], "expires_at"),
        state=codec.encode_document(body["state"], "state"),
        agent_states=_agent_states(body["agent_states"]),
        metadata=codec.encode_document(body["metadata"], "metadata"),
    )


def _entry(found: Any, seq: int) -> EntryRecord:
    place = f"entries[{seq - 1}]"
    body = exactly(found, _ENTRY, place)
    if typed(body["seq"], int, f"{place}.seq") != seq:
        raise InvalidValueError(
            f"{place}.seq",
            f"is {body['seq']}, where {seq} must stand: seqs are 1, 2, 3… without gaps; "
            "put the missing entry back, or number those after it anew",
        )
    return EntryRecord(
        seq=seq,
        entry_id=codec.identifier(body["entry_id"], f"{place}.entry_id"),
        kind=codec.identifier(body["kind"], f"{place}.kind", codec.MAX_KIND_BYTES),
        payload=codec.encode(body["payload"], f"{place}.payload"),
        created_at=_time(body["created_at"], f"{place}.created_at"),
        version=typed(body["version"], int, f"{place}.version"),
    )


def _agent_states(found: Any) -> str:
    for name, state in typed(found, dict, "agent_states").items():
        typed(state, dict, f"agent_states.{name}")
    return codec.encode_document(found, "agent_states")


def _status(found: Any) -> str:
    if found not in tuple(Status):
        raise InvalidValueError("status", f"must be of: {', '.join(Status)}")
    return str(found)


def _time(found: Any, place: str) -> datetime:
    """Only with its ``Z``: a time without a zone would be taken for local time."""
    if not typed(found, str, place).endswith("Z"):
        raise InvalidValueError(place, "must be a UTC time like 2026-01-31T12:00:00.000000Z")
    return codec.decode_time(found, place)


def _time_or_none(found: Any, place: str) -> datetime | None:
    return None if found is None else _time(found, place)
