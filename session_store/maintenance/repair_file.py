"""What can still be read of a damaged ``sessions.json``.

Its checksum is of the whole file: where it fits, all is right; where it does not, nothing in it is
proved. So the backup, one save older, is taken where its own checksum fits, and what the damaged
file has more than that goes to the side file. Where neither fits, what is well-formed is taken, and
it is said that nobody can know whether it is what was written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from session_store.backends.json_file import atomic_file
from session_store.backends.json_file.format import revision_in
from session_store.backends.json_file.recovery import backup_of
from session_store.backends.json_file.sections import is_intact
from session_store.backends.json_file.session import from_json, name_of
from session_store.core import codec
from session_store.core.records import EntryRecord, SessionRecord
from session_store.errors import CorruptStoreError, StoreUnavailableError
from session_store.maintenance.rebuild import Found, Rebuild
from session_store.session import SessionKey
from session_store.transfer.sessions import Progress, Stored

_NAME: Final = re.compile(rb'    "((?:[^"\\]|\\.)*)": \{\n')
_SESSIONS: Final = b'\n  "sessions": {\n'
_SHARED: Final = b'\n  "shared_states": '
_END: Final = b"\n    }"
_OPENING: Final = b'      "entries": ['
_FIELDS: Final = {*SessionRecord._fields} - {"last_seq"}


class Content(NamedTuple):
    """What could be read of a file: sessions by their names, each as JSON, its entries apart (one
    that can't be read is ``None``); shared documents, or ``None``."""

    sessions: Mapping[str, tuple[dict[str, Any], Sequence[Any]]]
    shared: Sequence[Any] | None


def rebuild_from_file(path: Path, rebuild: Rebuild, now: datetime, on_progress: Progress) -> None:
    """``CorruptStoreError`` when no session can be read."""
    data, older = (found and found[0] for found in map(atomic_file.read, (path, backup_of(path))))
    if data is None and older is None:
        raise StoreUnavailableError(f"there is no {path}; is the path right?")
    newest, saved = _content(data or b""), _content(older or b"")
    if data and is_intact(data):
        _put_all(newest, rebuild, now, on_progress)
    elif older and is_intact(older):
        rebuild.lose(
            f"is damaged, edited or missing; taken is the save before it, revision "
            f"{revision_in(older)}"
        )
        _set_aside_differences(newest, saved, rebuild)
        _put_all(saved, rebuild, now, on_progress)
    elif newest.sessions or saved.sessions:
        rebuild.lose(
            "no checksum fits: what is taken is well-formed, but whether it is what was written "
            "nobody can know"
        )
        both = Content({**saved.sessions, **newest.sessions}, newest.shared or saved.shared)
        _put_all(both, rebuild, now, on_progress)
    else:
        raise CorruptStoreError(f"{path}: no session can be read in it; restore a backup")


def _set_aside_differences(newest: Content, saved: Content, rebuild: Rebuild) -> None:
    for name, found in newest.sessions.items():
        if saved.sessions.get(name) != found:
            rebuild.lose("what differs from the save before is in the side file", session=name)
            rebuild.set_aside(_found(name, *found))


def _put_all(content: Content, rebuild: Rebuild, now: datetime, on_progress: Progress) -> None:
    for done, (name, found) in enumerate(content.sessions.items(), 1):
        rebuild.session(_found(name, *found))
        on_progress(done, len(content.sessions))
    if content.shared is None:
        rebuild.lose("the shared documents can't be read")
    for one in content.shared or ():
        given = one if isinstance(one, dict) else {}
        app, user, document = (given.get(key) for key in ("app_name", "user_id", "document"))
        rebuild.share(app, user, document, now)


def _found(name: str, head: dict[str, Any], entries: Sequence[Any]) -> Found:
    """An entry that can't be read has a number, and nothing else."""
    readable = [one if isinstance(one, dict) else {"seq": n} for n, one in enumerate(entries, 1)]
    rows = [tuple(one.get(field) for field in EntryRecord._fields) for one in readable]
    record = {**dict.fromkeys(SessionRecord._fields), **head, "last_seq": len(entries)}
    return Found(name, record, rows, _stored)


def _stored(record: Mapping[str, Any], entries: Sequence[Any]) -> Stored:
    body: dict[str, Any] = {name: record[name] for name in _FIELDS}
    body["entries"] = [dict(zip(EntryRecord._fields, entry, strict=True)) for entry in entries]
    key = SessionKey(*(record[name] for name in SessionKey._fields))
    stored = from_json(name_of(key), body)
    return Stored(stored.record, stored.entries)


# Reading what is damaged --------------------------------------------------------------------------


def _content(data: bytes) -> Content:
    try:
        found = codec.decode(data, "it")
    except CorruptStoreError:
        return _by_lines(data)
    if not isinstance(found, dict) or not isinstance(found.get("sessions"), dict):
        return Content({}, None)
    sessions = {
        name: _parts(body) for name, body in found["sessions"].items() if isinstance(body, dict)
    }
    shared = found.get("shared_states")
    return Content(sessions, shared if isinstance(shared, list) else None)


def _parts(body: dict[str, Any]) -> tuple[dict[str, Any], list[Any]]:
    entries = body.get("entries")
    head = {name: value for name, value in body.items() if name in _FIELDS}
    return head, entries if isinstance(entries, list) else []


def _by_lines(data: bytes) -> Content:
    """By the layout of the file: a field a line, an entry a line; no string of JSON holds a line's
    end, so a line that is damaged costs what stands in it."""
    start = data.find(_SESSIONS)
    end = data.rfind(_SHARED)
    if start < 0:
        return Content({}, None)
    body = data[start + len(_SESSIONS) : end if end > start else len(data)]
    sessions = dict(filter(None, map(_member, _members(body))))
    return Content(sessions, _shared(data[end + len(_SHARED) :]) if end > start else None)


def _members(body: bytes) -> Iterator[bytes]:
    starts = [found.start() for found in _NAME.finditer(body)]
    for start, end in zip(starts, [*starts[1:], len(body)], strict=True):
        yield body[start:end].partition(_END)[0]


def _member(text: bytes) -> tuple[str, tuple[dict[str, Any], list[Any]]] | None:
    head, opening, history = text.partition(_OPENING)
    name = _value(head[4 : head.index(b": {\n")])
    if not isinstance(name, str):
        return None
    fields: dict[str, Any] = {}
    for line in head.splitlines()[1:]:
        field = _value(b"{%b}" % line.strip().rstrip(b","))
        fields.update(field if isinstance(field, dict) else {})
    lines = [line.strip().removesuffix(b",") for line in history.splitlines()] if opening else []
    entries = [_value(line) for line in lines if line not in (b"", b"]")]
    return name, (fields, entries)


def _shared(text: bytes) -> list[Any] | None:
    found = _value(text.strip().removesuffix(b"}"))
    return found if isinstance(found, list) else None


def _value(text: bytes) -> Any:
    try:
        return codec.parsed(text)
    except ValueError:
        return None
