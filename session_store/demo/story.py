"""The whole demo, scene after scene."""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Final, NoReturn

from session_store.demo.conversations import load
from session_store.demo.crash import buffered, crash, recovery, resumption
from session_store.demo.errors import DemoError
from session_store.demo.life import another_way, expiration
from session_store.demo.screen import Screen
from session_store.demo.stage import PREFIX, Stage
from session_store.demo.statistics import statistics
from session_store.presentation.counting import counted

SCENES: Final = (
    crash,
    recovery,
    resumption,
    buffered,
    another_way,
    expiration,
    statistics,
)
NAMES: Final = {"sqlite": "an SQLite database", "file": "a JSON file"}
LOOKS: Final = {
    "sqlite": (
        "sessions.db",
        "sqlite3 -box {} 'SELECT session_id, status, last_seq FROM session_overview LIMIT 5'",
    ),
    "file": ("sessions.json", "less {}"),
}
"""The file of each kind of store, and how people look at it."""


def run(storage: str, conversations: int, keep: Path | None = None) -> None:
    """Play all scenes on a new store, in ``keep`` if it is given; ``DemoError`` if one fails."""
    with _ended_by_signals(), _directory(keep) as directory:
        stage = Stage(_screen(), storage, directory, load(conversations))
        _introduce(stage)
        for scene in SCENES:
            scene(stage)
        if keep:
            _show_what_is_kept(stage)


def _introduce(stage: Stage) -> None:
    stage.screen.title(
        "session-store demo",
        f"{counted(len(stage.conversations), 'real conversation')}, {stage.turns:,} turns, "
        f"{NAMES[stage.storage]}, and one crash.",
    )


def _show_what_is_kept(stage: Stage) -> None:
    stage.screen.step(
        "Kept for you to look at",
        "Where step 7 moved the clock, times lie six days ahead.",
    )
    name, look = LOOKS[stage.storage]
    stage.screen.command(look.format(shlex.quote(str(stage.directory / name))))


@contextmanager
def _directory(keep: Path | None) -> Iterator[Path]:
    if keep is None:
        with TemporaryDirectory(prefix=PREFIX) as directory:
            yield Path(directory)
    else:
        yield _new_directory(keep)


def _new_directory(keep: Path) -> Path:
    try:
        keep.mkdir(parents=True, exist_ok=True)
        used = any(keep.iterdir())
    except OSError as error:
        raise DemoError(f"{keep} can't be used: {error.strerror}; name another --keep") from error
    if used:
        raise DemoError(f"{keep} is not empty; name a new directory with --keep")
    return keep


def _screen() -> Screen:
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # an odd terminal shows ? and the demo goes on
    return Screen()


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGTERM and a closed terminal end the demo as Ctrl-C does: nothing is left behind."""
    before = {number: signal.signal(number, _exit) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _exit(number: int, _: FrameType | None) -> NoReturn:
    sys.exit(128 + number)
