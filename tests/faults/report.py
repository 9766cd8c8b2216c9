"""The table of the fault suite, and the page that holds it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

COLUMNS: Final = (
    "check",
    "promise",
    "store",
    "trials",
    "failures",
    "bound",
    "broken variant",
    "seconds",
    "remark",
)
_KEY: Final = slice(0, 3)
_NUMBERS: Final = {"trials", "failures", "bound", "seconds"}

Row = Sequence[str]


def line(row: Row) -> str:
    return f"| {' | '.join(row)} |"


def head() -> list[str]:
    rules = ["--:" if column in _NUMBERS else "---" for column in COLUMNS]
    return [line(COLUMNS), line(rules)]


def update(page: Path, rows: Iterable[Row], order: Iterable[Row]) -> None:
    """Put the rows into the page's table: in place of those of the same check, or new, in the
    ``order`` of the first three columns. Rows of checks that are no more go."""
    text = page.read_text()
    before, _, rest = text.partition("\n".join(head()) + "\n")
    lines = rest.splitlines()
    size = next((n for n, one in enumerate(lines) if not one.startswith("|")), len(lines))
    known = {tuple(row[_KEY]): row for row in [*map(_cells, lines[:size]), *rows]}
    table = [line(known[key]) for one in order if (key := tuple(one[_KEY])) in known]
    page.write_text("\n".join([before + head()[0], head()[1], *table, *lines[size:]]) + "\n")


def _cells(line: str) -> Row:
    return [cell.strip() for cell in line.strip("|").split(" | ")]
