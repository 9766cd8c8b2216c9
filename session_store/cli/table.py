"""How wide the columns of a table are, so that it fits a terminal.

Not ``rich.table``: to make room it cuts what must not be cut, or leaves the last columns out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

GAP: Final = 2
NARROWEST: Final = 8
"""What a column is worth showing with, if its cells do not need less."""


class Column(NamedTuple):
    """``whole``: never cut, because its cells are for copying, or short."""

    name: str
    style: str = ""
    right: bool = False
    whole: bool = False


def fitted(columns: Sequence[Column], needed: Sequence[int], width: int) -> list[int]:
    """The width of each column; 0 for one that is left out. The first that can be cut goes first:
    what stands last says most."""
    shown = list(needed)
    for number in [n for n, column in enumerate(columns) if not column.whole]:
        made = _shared(columns, shown, width)
        if all(given >= min(need, NARROWEST) for given, need in zip(made, shown, strict=True)):
            return made
        shown[number] = 0
    return _shared(columns, shown, width)


def _shared(columns: Sequence[Column], needed: Sequence[int], width: int) -> list[int]:
    """What the whole ones leave over, shared by the others; who needs less than a share leaves the
    rest to the next."""
    made = list(needed)
    rest = width - GAP * (sum(need > 0 for need in needed) - 1)
    rest -= sum(need for column, need in zip(columns, needed, strict=True) if column.whole)
    flexible = [n for n, column in enumerate(columns) if needed[n] and not column.whole]
    for left, number in enumerate(sorted(flexible, key=lambda n: needed[n])):
        made[number] = max(1, min(needed[number], rest // (len(flexible) - left)))
        rest -= made[number]
    return made
