"""The table that people read: in colour on a terminal, plain where it is piped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console, JustifyMethod
from rich.table import Table

from benchmarks.measure import Measured
from benchmarks.modes import MODES
from benchmarks.results import Line, time_of
from benchmarks.subjects import FLOOR, OURS

WIDTH = 200
"""Of plain text: a row is a line."""


def console() -> Console:
    screen = Console(highlight=False)
    return screen if screen.is_terminal else Console(highlight=False, width=WIDTH)


def show(screen: Console, lines: Sequence[Line]) -> None:
    """Ours beside the floor; then, if there are any, the peers beside ours."""
    screen.print(_beside_the_floor(lines))
    peers = [(line, name) for line in lines for name in line.subjects if name not in (OURS, FLOOR)]
    if peers:
        screen.print()
        screen.print(_beside_ours(peers))


def _beside_the_floor(lines: Iterable[Line]) -> Table:
    table = _table("workload", "store", "durability", "ours", "floor", "ours / floor (min-max)")
    for line in lines:
        mode = MODES[line.mode]
        ratio = line.ratio(OURS, FLOOR)
        taken = (_taken(line, name) for name in (OURS, FLOOR))
        table.add_row(line.title, mode.title, mode.durability, *taken, str(ratio or ""))
    return table


def _beside_ours(peers: Iterable[tuple[Line, str]]) -> Table:
    table = _table("workload", "store", "peer", "peer's", "ours", "peer / ours (min-max)", "turns")
    for line, name in peers:
        mode, taken = MODES[line.mode], (_taken(line, each) for each in (name, OURS))
        ratio = str(line.ratio(name, OURS) or "")
        table.add_row(line.title, mode.title, name, *taken, ratio, _kept(line.subjects[name]))
    return table


def _taken(line: Line, subject: str) -> str:
    seconds = line.seconds(subject)
    return "" if seconds is None else time_of(seconds)


def _kept(measured: Measured) -> str:
    """What makes its acknowledged turns worth less."""
    done, refused, lost = map(measured.total, ("calls", "refused", "lost"))
    told = [f"{refused} of {done + refused} refused"] * bool(refused)
    return ", ".join(told + [f"{lost} of {done} lost"] * bool(lost))


def _table(*headings: str) -> Table:
    """Its first columns are words, the others figures."""
    table = Table(box=None, pad_edge=False, padding=(0, 1))
    for number, heading in enumerate(headings):
        justify: JustifyMethod = "left" if number < 3 else "right"
        table.add_column(heading, justify=justify, no_wrap=True)
    return table
