"""The table that people read: in colour on a terminal, plain where it is piped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

from benchmarks.modes import MODES
from benchmarks.results import Line, time_of
from benchmarks.subjects import FLOOR, OURS

WIDTH = 200
"""Of plain text: a row is a line."""


def console() -> Console:
    screen = Console(highlight=False)
    return screen if screen.is_terminal else Console(highlight=False, width=WIDTH)


def show_lines(screen: Console, lines: Sequence[Line], peers: Sequence[str]) -> None:
    """Ours beside the floor, and what the ``peers`` take beside ours."""
    headings = ["workload", "store", "durability", "ours", "floor", "ours / floor (min-max)"]
    headings += [f"{peer} / ours" for peer in peers]
    table = _table("Calls: medians, ratios of the same round", headings, left=3)
    for line in lines:
        mode = MODES[line.mode]
        cells = [_shown(line, OURS), _shown(line, FLOOR), _ratio(line, OURS, FLOOR)]
        cells += [_beside(line, peer) for peer in peers]
        table.add_row(line.title, mode.title, mode.durability, *cells)
    screen.print(table)


def _shown(line: Line, subject: str) -> str:
    seconds = line.seconds(subject)
    return "" if seconds is None else time_of(seconds)


def _ratio(line: Line, one: str, other: str) -> str:
    return str(line.ratio(one, other) or "")


def _beside(line: Line, peer: str) -> str:
    """With what makes its turns worth less: those it refused, those it lost."""
    if peer not in line.subjects:
        return ""
    rounds = line.subjects[peer].rounds
    refused, lost = (sum(each[n] for each in rounds) for n in (2, 3))
    calls = sum(each.calls for each in rounds)
    notes = [f"{refused} refused"] * bool(refused) + [f"{lost} of {calls} lost"] * bool(lost)
    return " ".join([_ratio(line, peer, OURS), *notes])


def _table(title: str, headings: Iterable[str], left: int) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 1))
    for number, heading in enumerate(headings):
        justify = "left" if number < left else "right"
        table.add_column(heading, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    return table
