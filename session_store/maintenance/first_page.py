"""A first page for an SQLite file that has lost its own: the one that says where the tables begin.

Since revision 0006 the layout is longer than a page. Then the first page only says which others
hold it, and can be made anew from these.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

PAGE: Final = 4096
_HEADER: Final = 100
_LEAF, _INTERIOR = 0x0D, 0x05
_KINDS: Final = {b"table", b"index", b"view", b"trigger"}
_COLUMNS: Final = 5
_MORE: Final = 0x80
"""The bit of a byte of a number after which there are others."""


class _Leaf(NamedTuple):
    """A page of the layout, with the numbers of its first and last row."""

    first: int
    last: int
    page: int


def made_from(file: Path, empty: bytes) -> bytes | None:
    """The page, with the header of the first page of an ``empty`` store; ``None`` unless the file
    holds its layout in pages of their own, each once."""
    leaves = sorted(_leaves(file))
    follow = all(one.last < other.first for one, other in pairwise(leaves))
    if not leaves or not follow:
        return None
    cells = [leaf.page.to_bytes(4, "big") + _varint(leaf.last) for leaf in leaves[:-1]]
    starts = [PAGE - sum(map(len, cells[: n + 1])) for n in range(len(cells))]
    head = bytes([_INTERIOR, 0, 0, *_two(len(cells)), *_two(min(starts, default=PAGE)), 0])
    head += leaves[-1].page.to_bytes(4, "big") + b"".join(bytes(_two(start)) for start in starts)
    content = b"".join(reversed(cells))
    start = empty[:_HEADER] + head
    return start + bytes(PAGE - len(start) - len(content)) + content


def _leaves(file: Path) -> Iterator[_Leaf]:
    with file.open("rb") as opened:
        opened.seek(PAGE)
        number = 2
        while len(page := opened.read(PAGE)) == PAGE:
            if page[0] == _LEAF and (rows := _rows(page)):
                yield _Leaf(min(rows), max(rows), number)
            number += 1


def _rows(page: bytes) -> list[int]:
    """The numbers of the rows of a page, all of which describe tables and the like; or none."""
    found = []
    for n in range(int.from_bytes(page[3:5], "big")):
        at = int.from_bytes(page[8 + 2 * n : 10 + 2 * n], "big")
        try:
            _, at = _number(page, at)
            row, at = _number(page, at)
            if not _describes(page, at):
                return []
        except IndexError:
            return []
        found.append(row)
    return found


def _describes(page: bytes, record: int) -> bool:
    length, at = _number(page, record)
    types: list[int] = []
    while at < record + length and len(types) <= _COLUMNS:
        kind, at = _number(page, at)
        types.append(kind)
    size = (types[0] - 13) // 2 if types else 0
    return len(types) == _COLUMNS and page[record + length :][: max(size, 0)] in _KINDS


def _number(page: bytes, at: int) -> tuple[int, int]:
    """A number as SQLite writes it, and where it ends."""
    value = 0
    for end in range(at, at + 9):
        value = value << 7 | page[end] & 0x7F
        if not page[end] & _MORE:
            return value, end + 1
    return value, at + 9


def _varint(value: int) -> bytes:
    parts = [value & 0x7F]
    while value := value >> 7:
        parts.append(value & 0x7F | _MORE)
    return bytes(reversed(parts))


def _two(value: int) -> tuple[int, int]:
    return value >> 8, value & 0xFF
