"""A bar for who waits: on standard error, from the first second on, gone when the work is done."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

Advance: TypeAlias = Callable[..., None]
"""Called after each item, or with how many they were."""

PATIENCE: Final = 1.0


@contextmanager
def progress(what: str, total: int | None = None) -> Iterator[Advance]:
    """``with progress("searching", 1000) as advance:`` - how much is done, how fast, and how long
    it still takes. Nothing where nobody watches."""
    bar = _Bar(what, total)
    try:
        yield bar.advance
    finally:
        bar.stop()


class _Bar:
    def __init__(self, what: str, total: int | None) -> None:
        self._what, self._total = what, total
        self._begun, self._done = time.monotonic(), 0
        self._is_watched = sys.stderr.isatty()
        self._shown: tuple[Progress, TaskID] | None = None

    def advance(self, count: int = 1) -> None:
        self._done += count
        elapsed = time.monotonic() - self._begun
        if not self._is_watched or elapsed < PATIENCE:
            return
        self._shown = self._shown or _started(self._what, self._total)
        bars, task = self._shown
        bars.update(task, completed=self._done, rate=f"{self._done / elapsed:,.0f}/s")

    def stop(self) -> None:
        if self._shown:
            self._shown[0].stop()


def _started(what: str, total: int | None) -> tuple[Progress, TaskID]:
    """What is printed on the same terminal meanwhile goes above the bar; a pipe is left alone,
    which rich would turn to the terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    known = "" if total is None else f" of {total:,}"
    bars = Progress(
        TextColumn("{task.description}"),
        BarColumn(30, complete_style="cyan", finished_style="cyan"),
        TextColumn(f"{{task.completed:,.0f}}{known}"),
        TextColumn("{task.fields[rate]}", style="dim"),
        TimeRemainingColumn(),
        TextColumn("left", style="dim"),
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=sys.stdout.isatty(),
    )
    task = bars.add_task(what, total=total, rate="")
    bars.start()
    return bars, task
