"""The bytes of ``sessions.json``: how they become sessions, and sessions become bytes.

    {
      "checksum": "sha256:<64 hexadecimal digits>",
      "format": "session-store/1",
      "revision": 42,
      "sessions": {
        "default/ada/s1": {
          ... one field a line, then "entries" with one entry a line ...
        }
      },
      "shared_states": [
        {"app_name":"default","user_id":"","document":{}}
      ]
    }

The checksum is of all bytes after its line, which is always the second (``json_checksum`` says
how): 43 % of the single-bit flips in a JSON file still parse and mean something else. ``revision``
grows by 1 with every save. A session's name is its app, user and id, each percent-encoded, so none
collide. Its ``last_seq`` is the number of its entries. Files of the older program are read too.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from session_store.backends import legacy
from session_store.backends.json_file.checksum import CHECKSUM, first_lines
from session_store.backends.json_file.sections import (
    COMMA,
    Fragments,
    Section,
    is_right,
    sections_of,
)
from session_store.backends.json_file.session import (
    Fragment,
    block,
    decoded,
    encoded,
    exactly,
    from_json,
    quoted,
    shared_from_json,
    shortened,
    typed,
)
from session_store.backends.memory import SessionTable, Stored
from session_store.core import codec
from session_store.core.decisions import SharedScope
from session_store.errors import CorruptStoreError, InvalidValueError
from session_store.session import SessionKey

FORMAT: Final = "session-store/1"
_HEAD: Final = re.compile(
    CHECKSUM.pattern + rb'  "format": "session-store/1",\n  "revision": ([0-9]{1,18}),\n'
)
_MAX_REVISION: Final = 10**17
TOP: Final = {"checksum", "format", "revision", "sessions", "shared_states"}
SHARED: Final = {"app_name", "user_id", "document"}


class UnreadableFileError(CorruptStoreError):
    """Truncated, emptied or foreign: nothing that somebody could have meant for this package."""


class Contents(NamedTuple):
    """What a file holds; ``revision`` is 0 in a file of the older program."""

    table: SessionTable
    revision: int
    is_legacy: bool = False


def encode(
    table: SessionTable,
    revision: int,
    known: Fragments,
    changed: Collection[SessionKey] | None = None,
) -> tuple[list[bytes], Fragments]:
    """The parts of the file, and the fragments to give to the next call.

    ``changed``: the keys of all that can differ from ``known``; any can where it is not given.
    """
    fragments = _fragments(table, known, table.keys() if changed is None else changed)
    shared = block("[", [_shared_text(*one) for one in table.shared.items()], "  ]")
    start, end = _start(revision), f',\n  "shared_states": {shared}\n}}\n'.encode()
    texts = [fragment.text for fragment in fragments.values()]
    line = first_lines([start, *_listed((text.digest,) for text in texts), end])
    return [line, start, *_listed(text.parts for text in texts), end], fragments


def decode(data: bytes, path: Path, known: Fragments) -> tuple[Contents, Fragments]:
    """What ``encode``, or the older program, wrote to ``path``, and the fragments it is made of.

    What is ``known`` is not read again: 10 MB with one new entry take 21 ms instead of 125.
    ``UnreadableFileError`` when neither wrote it. ``CorruptStoreError`` when the file was edited,
    holds something wrong, or comes from a newer release.
    """
    sections = sections_of(data, known)
    if is_right(data, sections):
        return _intact(data, path, sections)
    found = _parsed(data, path)
    if "format" in found:
        raise CorruptStoreError(
            f"{path} does not match its checksum: it was edited by hand, or is damaged. The save "
            f"before it is in {path}.bak. To check this file and accept it as it is, run: "
            f"session-store accept {shlex.quote(str(path))}"
        )
    return _contents(found, path), {}


def decode_edited(data: bytes, path: Path) -> Contents:
    """Like ``decode``, whatever the checksum; a key that stands twice in an object is refused."""
    found = _parsed(data, path)
    _refuse_repeated_keys(data, path)
    return _contents(found, path)


def revision_in(head: bytes) -> int | None:
    """The revision, from the first 200 bytes of a file; ``None`` when it has not this format."""
    match = _HEAD.match(head)
    return int(match[2]) if match else None


def _start(revision: int) -> bytes:
    return f'  "format": "{FORMAT}",\n  "revision": {revision},\n  "sessions": {{'.encode()


def _listed(sessions: Iterable[Iterable[bytes]]) -> list[bytes]:
    """The texts of sessions, or what stands for them, with what stands between them."""
    parts: list[bytes] = []
    for session in sessions:
        parts += (COMMA, *session)
    return [b"\n", *parts[1:], b"\n  }"] if parts else [b"}"]


def _fragments(table: SessionTable, known: Fragments, changed: Collection[SessionKey]) -> Fragments:
    fragments = dict(known)
    for key in changed:
        if stored := table.get(key):
            fragments[key] = _fragment(stored, known.get(key))
    if fragments.keys() == table.keys():
        return fragments
    return {
        stored.record.key: _fragment(stored, fragments.get(stored.record.key)) for stored in table
    }


def _fragment(stored: Stored, old: Fragment | None) -> Fragment:
    return old if old and old.stored is stored else encoded(stored, old)


def _shared_text(scope: SharedScope, document: str) -> str:
    app, user = map(quoted, scope)
    return f'    {{"app_name":{app},"user_id":{user},"document":{document}}}'


def _intact(data: bytes, path: Path, sections: Sequence[Section]) -> tuple[Contents, Fragments]:
    if not sections:
        return _contents(_parsed(data, path), path), {}
    around = (
        data[: sections[0].start - 1] + data[sections[-1].end + 3 :]
    )  # without "\n  " before "}"
    contents = _contents(_parsed(around, path), path)
    fragments: dict[SessionKey, Fragment] = {}
    for section in sections:
        fragment = _fragment_of(data, path, section)
        key = fragment.stored.record.key
        if key in fragments:
            raise CorruptStoreError(f"{path} holds a session twice")
        contents.table.put(key, fragment.stored)
        fragments[key] = fragment
    return contents, fragments


def _fragment_of(data: bytes, path: Path, section: Section) -> Fragment:
    if section.known and section.known.text is section.text:
        return section.known
    stored = _session(data[section.start : section.end], path, section.known)
    return decoded(stored, section.text)


def _session(text: bytes, path: Path, old: Fragment | None) -> Stored:
    try:
        text, before = shortened(text, old) if old else (text, ())
        ((name, body),) = codec.decode(b"{%b}" % text, str(path)).items()
        return from_json(name, body, before)
    except (CorruptStoreError, ValueError) as error:
        raise CorruptStoreError(f"{path}: {error}") from None


def _parsed(data: bytes, path: Path) -> dict[str, Any]:
    try:
        found = codec.decode(data, str(path))
    except CorruptStoreError as error:
        raise UnreadableFileError(str(error)) from None
    version = found.get("format") if isinstance(found, dict) else None
    if isinstance(version, str) and version.startswith("session-store/") and version != FORMAT:
        raise CorruptStoreError(
            f"{path} has the format {version[:40]!r}: a newer release of session-store wrote it; "
            "open it with that release"
        )
    if not isinstance(found, dict) or not (version == FORMAT or _is_legacy(found)):
        raise UnreadableFileError(f"{path} is JSON, but not sessions that this package stored")
    return found


def _is_legacy(found: dict[str, Any]) -> bool:
    return isinstance(found.get("sessions"), dict) and found.keys() & TOP == {"sessions"}


def _contents(found: dict[str, Any], path: Path) -> Contents:
    try:
        return _own(found) if "format" in found else _legacy(found)
    except (InvalidValueError, CorruptStoreError) as error:
        raise CorruptStoreError(f"{path}: {error}") from None


def _own(found: dict[str, Any]) -> Contents:
    top = exactly(found, TOP, "the file")
    table = SessionTable()
    for name, body in typed(top["sessions"], dict, "sessions").items():
        stored = from_json(name, body)
        table.put(stored.record.key, stored)
    for number, one in enumerate(typed(top["shared_states"], list, "shared_states")):
        _put_shared(table, one, f"shared_states[{number}]")
    return Contents(table, _revision(top["revision"]))


def _legacy(found: dict[str, Any]) -> Contents:
    table = SessionTable()
    for name, session in found["sessions"].items():
        record, entries = legacy.converted(session)
        if name != record.session_id:
            raise CorruptStoreError(f"session {record.session_id!r} stands under the id {name!r}")
        table.put(record.key, Stored(record, entries))
    return Contents(table, 0, is_legacy=True)


def _revision(found: Any) -> int:
    if not 0 <= typed(found, int, "revision") < _MAX_REVISION:
        raise InvalidValueError("revision", "must be 0 or more, of 17 digits at most")
    return int(found)


def _put_shared(table: SessionTable, found: Any, place: str) -> None:
    scope, document = shared_from_json(exactly(found, SHARED, place), f"{place}.")
    if scope in table.shared:
        raise InvalidValueError(place, "is the second one of this app_name and user_id")
    table.shared[scope] = document


def _refuse_repeated_keys(data: bytes, path: Path) -> None:
    def check(pairs: list[tuple[str, Any]]) -> None:
        names = [name for name, _ in pairs]
        if len(set(names)) != len(names):
            twice = max(names, key=names.count)
            raise CorruptStoreError(f"{path} holds the key {twice!r} twice in one object")

    json.loads(data, object_pairs_hook=check)
