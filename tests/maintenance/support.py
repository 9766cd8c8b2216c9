"""Stores in files, and what damages them: real bytes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

PLACES: Final = {"a": "b", "a.db": "b.db"}
"""Stores in files, each with a place for its copy."""


def page_size(path: str) -> int:
    return int.from_bytes(Path(path).read_bytes()[16:18], "big")


def pages_of(path: str, name: str, kind: str = "leaf") -> list[int]:
    """The numbers of the pages of a table or an index, which begin with 1, in their order."""
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT rootpage FROM sqlite_master WHERE name = ?"
        (root,) = connection.execute(query, (name,)).fetchone()
    found = list(_below(Path(path).read_bytes(), page_size(path), root))
    return [number for number, is_leaf in found if is_leaf == (kind == "leaf")]


def _below(data: bytes, size: int, root: int) -> Iterator[tuple[int, bool]]:
    """A page of a tree and those under it, each with whether it is a leaf."""
    page = data[(root - 1) * size : root * size]
    is_leaf = page[0] in (10, 13)
    yield root, is_leaf
    if is_leaf:
        return
    cells = int.from_bytes(page[3:5], "big")
    for n in range(cells):
        cell = int.from_bytes(page[12 + 2 * n : 14 + 2 * n], "big")
        yield from _below(data, size, int.from_bytes(page[cell : cell + 4], "big"))
    yield from _below(data, size, int.from_bytes(page[8:12], "big"))


def write_page(path: str, number: int, content: bytes = b"") -> None:
    """Put ``content``, and zeros after it, in the place of a page."""
    size = page_size(path)
    with open(path, "r+b") as file:
        file.seek((number - 1) * size)
        file.write(content.ljust(size, b"\0"))


def smashed(path: str, name: str, which: int = 0, kind: str = "leaf") -> None:
    """Zeros in the place of one of a table's or an index's pages."""
    write_page(path, pages_of(path, name, kind)[which])
