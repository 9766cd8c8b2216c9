"""Exports that somebody has damaged, or made to do damage; all but one checksum may be right."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Iterator
from random import Random
from typing import Any, Final

from session_store.transfer import format as form

Damage = Callable[[bytes], bytes]


def resealed(text: bytes) -> bytes:
    """With right checksums, whatever else is wrong."""
    out: list[bytes] = []
    pending: list[bytes] = []

    def flush() -> None:
        if pending:
            head = form.unsealed(pending[0])
            out.extend([form.sealed(head, form.session_digest(head, pending[1:])), *pending[1:]])
            pending.clear()

    for line in text.splitlines(keepends=True):
        kind = json.loads(line).get("type")
        if kind == "session":
            flush()
            pending.append(line)
        elif kind == "entry" and pending:
            pending.append(line)
        else:
            flush()
            digest = hashlib.sha256(b"".join(out)).hexdigest()
            is_end = kind == "end"
            out.append(form.sealed(form.unsealed(line), digest) if is_end else line)
    flush()
    return b"".join(out)


def replaced(old: bytes, new: bytes, *, seal: bool = True) -> Callable[[bytes], bytes]:
    def change_(text: bytes) -> bytes:
        assert old in text
        changed = text.replace(old, new, 1)
        return resealed(changed) if seal else changed

    return change_


def without(start: int, stop: int) -> Callable[[bytes], bytes]:
    def change_(text: bytes) -> bytes:
        lines = text.splitlines(keepends=True)
        return resealed(b"".join(lines[:start] + lines[stop:]))

    return change_


def ordered(*numbers: int) -> Callable[[bytes], bytes]:
    def change_(text: bytes) -> bytes:
        lines = text.splitlines(keepends=True)
        return resealed(b"".join(lines[number] for number in numbers))

    return change_


# header, session s1, 2 entries, session s2, 2 entries, shared, end
HOSTILE: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "nothing": (lambda _: b"", "goes on"),
    "only a header": (ordered(0), "goes on"),
    "cut off in a line": (lambda text: text[:-30], "cut off"),
    "cut off after a line": (lambda text: b"".join(text.splitlines(True)[:-1]), "goes on"),
    "cut off at half": (lambda text: text[: len(text) // 2], "line"),
    "no header": (without(0, 1), "no export"),
    "another program's": (lambda _: b'{"type":"log"}\n', "no export"),
    "no JSON": (lambda text: text.replace(b'"seq":2,', b'"seq":2', 1), "checksum|expected"),
    "an array": (lambda text: text + b"[]\n", "after the end"),
    "a newer version": (replaced(b'"version":1,"created', b'"version":2,"created'), "version 2"),
    "a version that is none": (replaced(b'"version":1,"created', b'"version":"1","created'), "1"),
    "a changed text": (replaced(b'"payload":"a"', b'"payload":"c"', seal=False), "checksum"),
    "a changed head": (replaced(b'"created",', b'"running",', seal=False), "checksum"),
    "a changed shared document": (replaced(b'{"a":1}', b'{"a":2}', seal=False), "checksum"),
    "a wrong last checksum": (lambda text: text[:-6] + b'f0"}\n', "checksum"),
    "no checksum": (lambda text: text.replace(b'"sha256":', b'"sha257":', 1), "last member"),
    "a session twice": (ordered(0, 1, 2, 3, 1, 2, 3, 7, 8), "twice"),
    "sessions out of order": (ordered(0, 4, 5, 6, 1, 2, 3, 7, 8), "out of order"),
    "a shared document twice": (ordered(0, 1, 2, 3, 4, 5, 6, 7, 7, 8), "twice"),
    "an entry lost": (without(2, 3), "last_seq"),
    "a session lost": (without(1, 4), "counts"),
    "a shared document lost": (without(7, 8), "counts"),
    "an entry without a session": (ordered(0, 2, 8), "type"),
    "a session after the shared documents": (ordered(0, 1, 2, 3, 7, 4, 5, 6, 8), "type"),
    "something after the end": (lambda text: text + text, "after the end"),
    "an empty line": (lambda text: text.replace(b"\n", b"\n\n", 1), "line 2"),
    "a gap": (replaced(b'"seq":2', b'"seq":3'), "seq"),
    "a seq that is true": (replaced(b'"seq":1', b'"seq":true'), "seq"),
    "an entry id twice": (replaced(b'"e2"', b'"e1"'), "twice"),
    "an unknown status": (replaced(b'"status":"created"', b'"status":"dead"'), "status"),
    "a version of 0": (replaced(b'"version":2,', b'"version":0,'), "version"),
    "a version of an entry beyond": (
        replaced(b'"version":1,"payload', b'"version":9,"payload'),
        "v",
    ),
    "a version beyond 64 bits": (
        replaced(b'"version":2,', b'"version":99999999999999999999,'),
        "v",
    ),
    "a time without a zone": (replaced(b'123456Z","version":1', b'123456","version":1'), "UTC"),
    "a time that is none": (
        replaced(b'"created_at":"2024-02-29', b'"created_at":"2023-02-29'),
        "time",
    ),
    "an id with a line's end": (replaced(b'"session_id":"s1"', b'"session_id":"s\\n"'), "control"),
    "an empty id": (replaced(b'"session_id":"s1"', b'"session_id":""'), "bytes"),
    "an id that is a number": (replaced(b'"session_id":"s1"', b'"session_id":1'), "session_id"),
    "too long an id": (replaced(b'"e2"', b'"' + b"e" * 256 + b'"'), "255 bytes"),
    "NaN": (replaced(b'"payload":"a"', b'"payload":NaN'), "line"),
    "a number beyond 64 bits": (
        replaced(b'"payload":"a"', b'"payload":18446744073709551616'),
        "64",
    ),
    "a lone surrogate": (replaced(b'"payload":"a"', b'"payload":"\\ud800"'), "line"),
    "too deep": (
        replaced(b'"payload":"a"', b'"payload":' + b"[" * 150 + b"]" * 150),
        "deep|recurs",
    ),
    "far too deep": (lambda text: b"[" * 100_000 + text, "line 1"),
    "a document that is none": (replaced(b'"state":{}', b'"state":[]'), "state"),
    "an agent's state that is none": (
        replaced(b'"agent_states":{}', b'"agent_states":{"a":1}'),
        "a",
    ),
    "a member too many": (replaced(b'"state":{}', b'"state":{},"more":1'), "more"),
    "a member too few": (replaced(b'"state":{},', b""), "state"),
    "an entry with a member too many": (replaced(b'"kind":', b'"more":1,"kind":'), "more"),
    "other counts": (replaced(b'"entries":4', b'"entries":5'), "counts"),
    "a shared document that is none": (
        replaced(b'"document":{"a":1}', b'"document":3'),
        "document",
    ),
    "a byte that is no text": (replaced(b'"payload":"a"', b'"payload":"\xff"', seal=False), "line"),
}


def mutated(text: bytes, chance: Random) -> bytes:
    """One value of one line is another, or gone, or there twice; the checksums are right, unless
    it was one of them that went."""
    lines = text.splitlines(keepends=True)
    number = chance.randrange(len(lines))
    found = json.loads(lines[number])
    mutate(found, chance)
    lines[number] = json.dumps(found, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
    changed = b"".join(lines)
    try:
        return resealed(changed)
    except ValueError:
        return changed


def mutate(found: Any, chance: Random) -> None:
    """Change one value somewhere in an object."""
    places = list(_places(found))
    inside, key = chance.choice(places)
    match chance.randrange(4):
        case 0:
            del inside[key]
        case 1:
            other, another = chance.choice(places)
            inside[key] = copy.deepcopy(other[another])
        case _:
            inside[key] = chance.choice(JUNK)


def _places(found: Any) -> Iterator[tuple[Any, Any]]:
    """All that an object or array holds, and those in it."""
    for key in found if isinstance(found, dict) else range(len(found)):
        yield found, key
        if isinstance(found[key], dict | list):
            yield from _places(found[key])


JUNK: Final[tuple[Any, ...]] = (
    *(None, True, 0, 1, -1, 2, 1.5, 2**63, 10**30, "", "x", "s1", "\0", "x" * 300, [], {}, [[]]),
    *({"a": 1}, "2024-02-29T12:30:15.123456Z", "9999-12-31T23:59:59.999999Z", "running", 2**62),
)
