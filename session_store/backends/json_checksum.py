"""The checksum in the second line of ``sessions.json``: made while the file is written, checked."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

CHECKSUM: Final = re.compile(rb'\{\n  "checksum": "sha256:([0-9a-f]{64})",\n')
_LINE: Final = b'{\n  "checksum": "sha256:%b",\n'
BLANK: Final = _LINE % (b"0" * 64)
_CHUNK: Final = 2**18


class FileText:
    """The bytes of a file, to be written in chunks, for which ``seal`` then has the checksum.

    So the disk works on a chunk while the next is hashed. A thread for the hash gained nothing more
    on two cores that others used too.
    """

    def __init__(self, parts: Sequence[bytes]) -> None:
        self._parts, self._checksum = parts, ""

    def chunks(self) -> Iterator[bytes]:
        digest, start = hashlib.sha256(), len(BLANK)
        for chunk in _joined(self._parts):
            yield chunk
            digest.update(memoryview(chunk)[start:])
            start = 0
        self._checksum = digest.hexdigest()

    def seal(self) -> bytes:
        """The first bytes as they shall be, when all chunks were read."""
        return _LINE % self._checksum.encode()

    def __bytes__(self) -> bytes:
        unsealed = b"".join(self.chunks())
        return self.seal() + unsealed[len(BLANK) :]


def is_intact(data: bytes) -> bool:
    """Whether a file of this format matches its checksum."""
    line = CHECKSUM.match(data)
    return line is not None and _digest(memoryview(data)[line.end() :]) == line[1].decode()


def _digest(body: memoryview) -> str:
    return hashlib.sha256(body).hexdigest()


def _joined(parts: Iterable[bytes]) -> Iterator[bytes]:
    batch, size = [], 0
    for part in parts:
        batch.append(part)
        size += len(part)
        if size >= _CHUNK:
            yield b"".join(batch)
            batch, size = [], 0
    yield b"".join(batch)
