"""The tables that people read: for a terminal, and in plain text where they are piped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from rich.console import Console, JustifyMethod
from rich.table import Table

from benchmarks.growth import Cell
from benchmarks.measure import Measured
from benchmarks.memory import Peak
from benchmarks.modes import MODES
from benchmarks.plan import ALONE, AT_ONCE
from benchmarks.results import Gain, Line, gains, time_of
from benchmarks.size import Size
from benchmarks.subjects import FLOOR, OURS

WIDTH = 200
"""Of plain text: a row is a line."""


def show_speed(lines: Sequence[Line]) -> None:
    """Ours beside the floor; then, if there are any, the peers beside ours."""
    _show(_beside_the_floor(lines))
    if found := list(gains(lines, ALONE, AT_ONCE)):
        _show(_at_once(found))
    peers = [(line, name) for line in lines for name in line.subjects if name not in (OURS, FLOOR)]
    if peers:
        _show(_beside_ours(peers))


def _beside_the_floor(lines: Iterable[Line]) -> Table:
    table = _table("workload", "store", "ours", "floor", "ours / floor (min-max)", words=2)
    for line in lines:
        ratio = line.ratio(OURS, FLOOR)
        taken = (_taken(line, name) for name in (OURS, FLOOR))
        table.add_row(line.title, str(MODES[line.mode]), *taken, str(ratio or ""))
    return table


def _at_once(gains: Iterable[Gain]) -> Table:
    heading = "8 threads saving at once"
    table = _table(heading, "subject", "rate / one thread's (min-max)", words=2)
    for gain in gains:
        table.add_row(str(MODES[gain.mode]), gain.subject, str(gain.ratio))
    return table


def _beside_ours(peers: Iterable[tuple[Line, str]]) -> Table:
    table = _table("workload", "store", "peer", "peer's", "ours", "peer / ours (min-max)", "turns")
    for line, name in peers:
        taken = (_taken(line, each) for each in (name, OURS))
        ratio, kept = str(line.ratio(name, OURS) or ""), _kept(line.subjects[name])
        table.add_row(line.title, str(MODES[line.mode]), name, *taken, ratio, kept)
    return table


def _taken(line: Line, subject: str) -> str:
    seconds = line.seconds(subject)
    return "" if seconds is None else time_of(seconds)


def _kept(measured: Measured) -> str:
    """What makes its acknowledged turns worth less."""
    done, refused, lost = map(measured.total, ("calls", "refused", "lost"))
    told = [f"{refused} of {done + refused} refused"] * bool(refused)
    return ", ".join(told + [f"{lost} of {done} lost"] * bool(lost))


def show_memory(peaks: Iterable[Peak]) -> None:
    table = _table("peak memory of", "store", "subject", "process", "one call")
    for peak in peaks:
        process = "" if peak.process is None else f"{peak.process / 1e6:.0f} MB"
        call = "" if peak.call is None else f"{peak.call / 1e3:,.0f} KB"
        table.add_row(peak.title, str(MODES[peak.mode]), peak.subject, process, call)
    _show(table)


def show_sizes(sizes: Iterable[Size]) -> None:
    table = _table("growth", "store", "subject", "bytes on disk for each entry of 1 KB")
    for each in sizes:
        title = f"{each.entries:,} entries"
        table.add_row(title, str(MODES[each.mode]), each.subject, f"{each.bytes_each:,.0f}")
    _show(table)


def show_growth(cells: Iterable[Cell]) -> None:
    for by, group in groupby(cells, lambda cell: cell.by):
        _show(_grown(by, list(group)))


def _grown(by: str, cells: Sequence[Cell]) -> Table:
    sizes = sorted(cells[0].seconds)
    columns = [f"{size:,}" for size in sizes]
    table = _table(f"call, by {by}", "store", "subject", *columns, "largest / smallest (min-max)")
    for cell in cells:
        taken: Iterator[str] = (time_of(cell.seconds[size]) for size in sizes)
        title = str(MODES[cell.mode])
        table.add_row(cell.call, title, cell.subject, *taken, str(cell.ratio))
    return table


def _table(*headings: str, words: int = 3) -> Table:
    """Its first columns are words, the others figures."""
    table = Table(box=None, pad_edge=False, padding=(0, 1))
    for number, heading in enumerate(headings):
        justify: JustifyMethod = "left" if number < words else "right"
        table.add_column(heading, justify=justify, no_wrap=True)
    return table


def _show(table: Table) -> None:
    screen = Console(highlight=False)
    if not screen.is_terminal:
        screen = Console(highlight=False, width=WIDTH)
    screen.print(table)
    screen.print()
