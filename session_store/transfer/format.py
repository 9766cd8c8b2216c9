"""The lines of an export. ``docs/export.md`` is their description for everybody else.

One JSON object a line, told apart by ``type``: the header ``export``; for each session its head
``session`` and, right after it, an ``entry`` for each of its entries; ``shared`` for each shared
document; last ``end``, with how many of each there were. Sessions stand in the order of a scan.
``end`` has the SHA-256 of all bytes before its line; each ``session`` has that of its own lines:
its head's without the member ``sha256``, which is the last, and those of its entries.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from session_store.backends.json_file.session import entry_text, fields, quoted
from session_store.core import codec
from session_store.core.decisions import SharedScope
from session_store.core.records import EntryRecord, SessionRecord

FORMAT: Final = "session-store-export"
VERSION: Final = 1

MAX_LINE: Final = codec.MAX_PAYLOAD_BYTES + 1024 * 1024
"""Bytes of the longest line: the largest payload that a store takes, and what stands around it."""

_SEAL: Final = ',"sha256":"'
_SEALED: Final = len(_SEAL) + 64 + len('"}')


def header(created_at: datetime) -> bytes:
    time = codec.encode_time(created_at)
    return _line(f'"export","format":"{FORMAT}","version":{VERSION},"created_at":"{time}"')


def session_lines(record: SessionRecord, entries: Sequence[EntryRecord]) -> Iterator[bytes]:
    """The head, then the entries. The head's checksum is over all of them, so they come at once."""
    head = head_line("session", record)
    lines = [_line(f'"entry",{entry_text(entry)[1:-1]}') for entry in entries]
    yield sealed(head, session_digest(head, lines))
    yield from lines


def head_line(type_: str, record: SessionRecord) -> bytes:
    body = ",".join(f'"{name}":{text}' for name, text in fields(record).items())
    return _line(f'"{type_}","last_seq":{record.last_seq},{body}')


def shared_line(scope: SharedScope, document: str) -> bytes:
    app, user = map(quoted, scope)
    return _line(f'"shared","app_name":{app},"user_id":{user},"document":{document}')


def end(sessions: int, entries: int, shared: int, digest: str) -> bytes:
    """``digest``: of all that stands before it."""
    counts = f'"sessions":{sessions},"entries":{entries},"shared":{shared}'
    return sealed(_line(f'"end",{counts}'), digest)


def session_digest(head: bytes, entries: Sequence[bytes]) -> str:
    """Of a session's lines; the head's without its checksum."""
    digest = hashlib.sha256(head)
    for line in entries:
        digest.update(line)
    return digest.hexdigest()


def sealed(line: bytes, digest: str) -> bytes:
    """The line with its checksum as the last member."""
    return line[:-2] + f'{_SEAL}{digest}"}}\n'.encode()


def unsealed(line: bytes) -> bytes:
    """The line without that member, which everybody else may have laid out in another way."""
    start = len(line) - _SEALED - 1
    if line[start : start + len(_SEAL)] != _SEAL.encode():
        raise ValueError("sha256 is not its last member")
    return line[:start] + b"}\n"


def parsed(line: bytes) -> dict[str, Any]:
    """The object of a line; ``ValueError`` when it holds none."""
    found = codec.parsed(line)
    if not isinstance(found, dict) or not isinstance(found.get("type"), str):
        raise ValueError("no JSON object with a type")
    return found


def _line(body: str) -> bytes:
    text = f'{{"type":{body}}}\n'
    if text.find("\n") != len(text) - 1:
        raise ValueError("a stored text has a line's end in it")
    return text.encode()
