"""The checksum of ``sessions.json``, found in another way than the store finds it."""

from __future__ import annotations

import re
from hashlib import sha256

LINE = re.compile(rb'\{\n  "checksum": "sha256:[0-9a-f]{64}",\n')
SESSIONS = re.compile(rb'(.*\n  "sessions": \{\n)(.*)(\n  \},\n  "shared_states": .*)', re.DOTALL)
SESSION = re.compile(rb'(?:\A|(?<=,\n))    ".*?\n    \}', re.DOTALL)
ENTRIES = re.compile(rb'(.*?\n      "entries": \[)(.*?)((?:\n      )?\]\n    \})', re.DOTALL)


def checksum(body: bytes) -> bytes:
    """Of what stands after its line."""
    found = SESSIONS.fullmatch(body)
    if found:
        before, sessions, after = found.groups()
        body = before + SESSION.sub(lambda one: _digest(one[0]), sessions) + after
    return sha256(body).hexdigest().encode()


def _digest(session: bytes) -> bytes:
    parts = ENTRIES.fullmatch(session)
    before, entries, after = parts.groups() if parts else (session, b"", b"")
    return sha256(entries + before + after).digest()


def resealed(data: bytes) -> bytes:
    """The file with a right checksum."""
    line = LINE.match(data)
    if not line:
        return data
    body = data[line.end() :]
    return b'{\n  "checksum": "sha256:%b",\n%b' % (checksum(body), body)
