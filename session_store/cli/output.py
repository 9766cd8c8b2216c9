"""Standard output: colours and tables for who reads it on a terminal, tab-separated text and JSON
Lines for programs. Whatever is printed here has passed ``escaping``.

A terminal without colours (``NO_COLOR``, ``TERM=dumb``) still gets tables: these are for people.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from session_store.cli.table import GAP, Column, fitted
from session_store.presentation import escaping

if TYPE_CHECKING:
    import argparse

    from rich.console import Console
    from rich.text import Text

Part: TypeAlias = str | tuple[str, str]
"""A text, or a text and how it looks on a terminal."""

NARROWEST: Final = 20
WIDEST: Final = 100
"""Columns of running text; longer lines are hard to read."""

STATUS_STYLES: Final = {
    "created": "cyan",
    "running": "green",
    "paused": "yellow",
    "completed": "blue",
    "failed": "red",
}


def add_json_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--json",
        action="store_true",
        help="print JSON Lines: an object a line, its times as ISO 8601 in UTC",
    )


class Output:
    """Where commands print what was asked for."""

    def __init__(self) -> None:
        self.is_terminal = sys.stdout.isatty()

    def json(self, value: Any) -> None:
        self._write(escaping.json_text(value))

    def fields(self, *cells: object) -> None:
        """For programs: one line, a tab between two cells."""
        self._write("\t".join(escaping.line(str(cell)) for cell in cells))

    def line(self, *parts: Part) -> None:
        """One line, however long."""
        pairs = [(part, "") if isinstance(part, str) else part for part in parts]
        safe = [(escaping.line(text), style) for text, style in pairs]
        if not self.is_terminal:
            self._write("".join(text for text, _ in safe))
            return
        from rich.text import Text

        self._print(Text.assemble(*safe))

    def text(self, text: str, indent: str = "", opening: int = 0) -> None:
        """A text in its own lines, which a terminal's width breaks into more; its first
        ``opening`` characters stand out."""
        lines = escaping.text(text).split("\n")
        if self.is_terminal:
            width = max(NARROWEST, min(self.width, WIDEST) - len(indent))
            lines = [part for line in lines for part in self._wrapped(line, width)]
        for line in lines:
            self.line((indent if line else ""), (line[:opening], "cyan"), line[opening:])
            opening = 0

    def table(
        self, columns: Sequence[Column], rows: Iterable[Sequence[Part]], *, header: bool = True
    ) -> None:
        """For people; as wide as the terminal at most."""
        from rich.text import Text

        lines = [[_cell(part) for part in row] for row in rows]
        names = [Text(column.name, style="dim") for column in columns]
        needed = [max(cell.cell_len for cell in cells) for cells in zip(names, *lines, strict=True)]
        widths = fitted(columns, needed, self.width)
        for line in [names, *lines] if header else lines:
            for column, cell, width in zip(columns, line, widths, strict=True):
                cell.style = cell.style or column.style
                cell.truncate(width, overflow="ellipsis")
                cell.align("right" if column.right else "left", width)
            shown = [cell for cell, width in zip(line, widths, strict=True) if width]
            joined = Text(" " * GAP).join(shown)
            joined.rstrip()
            self._print(joined)

    def flush(self) -> None:
        sys.stdout.flush()

    @property
    def width(self) -> int:
        return self._console.width

    @property
    def can_draw(self) -> bool:
        """Whether it has blocks to draw bars with."""
        return "utf" in (sys.stdout.encoding or "").lower()

    def _wrapped(self, line: str, width: int) -> list[str]:
        """By cells, of which some characters take two; all under the beginning of the first."""
        from rich.text import Text

        margin = line[: len(line) - len(line.lstrip())][: width // 2]
        parts = Text(line[len(margin) :]).wrap(self._console, width - len(margin))
        return [f"{margin}{part.plain}".rstrip() for part in parts] or [""]

    def _print(self, what: Text) -> None:
        with self._console.capture() as captured:
            self._console.print(what, soft_wrap=True)
        self._write(captured.get().removesuffix("\n"))

    def _write(self, text: str) -> None:
        """To ``sys.stdout`` as it is now: a moving bar makes room for what is written there."""
        encoding = sys.stdout.encoding or "utf-8"
        sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")

    @cached_property
    def _console(self) -> Console:
        """Formats; what it makes is printed by ``_write``."""
        from rich.console import Console

        return Console(
            force_terminal=True,
            color_system=None if os.environ.get("NO_COLOR") else "auto",
            highlight=False,
            emoji=False,
            markup=False,
        )


def say(text: str) -> None:
    """A message to who watches, on standard error."""
    print(escaping.line(text), file=sys.stderr)


def _cell(part: Part) -> Text:
    from rich.text import Text

    text, style = (part, "") if isinstance(part, str) else part
    return Text(escaping.line(text), style=style)
