"""How the demo looks: calm colours and moving bars on a terminal, bare text anywhere else."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from textwrap import fill
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

INDENT: Final = "    "
NARROWEST: Final = 40
WIDEST: Final = 100
LONGEST_BAR: Final = 48
CHART_MARGIN: Final = 12


class Screen:
    """Numbered steps on standard output; what a step proves stands under it."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or _stdout()
        self._width = min(max(self._console.width, NARROWEST), WIDEST)
        self._steps = 0
        rich = self._console.is_terminal and not self._console.options.ascii_only
        self._mark, self._block = ("✓", "█") if rich else ("ok", "#")

    def title(self, name: str, explanation: str) -> None:
        self._write(name, "bold")
        self._write(explanation)

    def step(self, name: str, explanation: str) -> None:
        """Begin the next step: its name, and what happens in it."""
        self._steps += 1
        self._write("")
        self._write(name, "bold cyan", f"{self._steps:>2}  ")
        self._write(explanation, "dim", INDENT)

    def proved(self, text: str) -> None:
        """A claim that was checked."""
        lines = self._filled(text, " " * len(f"{INDENT}{self._mark} "))
        self._console.print(Text.assemble(INDENT, (self._mark, "green"), " ", lines.lstrip()))

    def gap(self) -> None:
        self._console.line()

    def say(self, text: str) -> None:
        self._write(text, begin=INDENT)

    def command(self, text: str) -> None:
        """What can be typed into a shell; never broken into lines."""
        self._console.print(Text(f"{INDENT}$ {text}", style="bold"), soft_wrap=True)

    def quote(self, speaker: str, text: str) -> None:
        """One turn of a conversation, in one line."""
        self._line(Text.assemble((f"{INDENT}  {speaker:<10} ", "dim"), (text, "italic")))

    @contextmanager
    def progress(self, total: int, done: int = 0) -> Iterator[Callable[[], None]]:
        """A bar that the yielded function moves on by one; nothing where it could not move."""
        columns = (
            TextColumn(INDENT[1:]),
            BarColumn(self._width - 24, complete_style="cyan", finished_style="green"),
            TextColumn("{task.completed:,.0f} of {task.total:,.0f}", style="dim"),
        )
        moves = self._console.is_interactive
        with Progress(*columns, console=self._console, disable=not moves) as bars:
            task = bars.add_task("", total=total, completed=done)
            yield lambda: bars.advance(task)

    def facts(self, facts: Mapping[str, str]) -> None:
        width = max(map(len, facts), default=0)
        for name, value in facts.items():
            self._line(Text.assemble((f"{INDENT}{name:<{width}}  ", "dim"), value))

    def table(self, columns: Mapping[str, str], rows: Sequence[Sequence[str]]) -> None:
        """``columns`` are names with ``<`` or ``>``, the side on which their cells stand."""
        cells = [tuple(columns), *rows]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        forms = [f"{side}{width}" for side, width in zip(columns.values(), widths, strict=True)]
        for number, row in enumerate(cells):
            line = "  ".join(map(format, row, forms)).rstrip()
            self._line(Text(INDENT + line, style="" if number else "dim"))

    def chart(self, bars: Mapping[str, int]) -> None:
        """A horizontal bar for each name, the longest as wide as it may be."""
        names = max(map(len, bars), default=0)
        longest = min(LONGEST_BAR, self._width - names - CHART_MARGIN)
        scale = longest / max(*bars.values(), 1)
        for name, value in bars.items():
            bar = self._block * round(value * scale)
            end = f" {value:,}" if bar else f"{value:,}"
            self._console.print(
                Text.assemble(f"{INDENT}{name:>{names}}  ", (bar, "cyan"), (end, "dim"))
            )

    def _line(self, line: Text) -> None:
        """One line; on a terminal it is cut where the screen ends."""
        if self._console.is_terminal:
            line.truncate(self._width, overflow="ellipsis")
        self._console.print(line, soft_wrap=True)

    def _write(self, text: str, style: str = "", begin: str = "") -> None:
        self._console.print(Text(self._filled(text, begin), style=style))

    def _filled(self, text: str, begin: str) -> str:
        """``text`` in lines, under what it begins with."""
        under = " " * len(begin)
        return fill(text, self._width, initial_indent=begin, subsequent_indent=under)


def _stdout() -> Console:
    """Bare text unless standard output is a terminal, whatever the environment forces."""
    terminal = sys.stdout.isatty()
    return Console(force_terminal=terminal, highlight=False, emoji=False, markup=False)
