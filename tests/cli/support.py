"""Stores for the commands, and terminals to run them on."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from session_store import NewEntry, PersistentSessionService, SessionService
from session_store.cli.main import main

HOSTILE = "\x1b[31mred\x1b]0;mine\x07 \u202egnp.exe\u202c \x9b2J [bold]b[/] :smile: a\tb\r\nc"
"""Escape sequences of both kinds, a bell, text that is turned round, and markup."""

SHOWN = "\\x1b[31mred\\x1b]0;mine\\x07 \\u202egnp.exe\\u202c \\x9b2J [bold]b[/] :smile: a"
"""How its beginning is shown."""


@dataclass
class Place:
    """A store of one test; what ``--store`` takes for it is its ``url``."""

    type: str
    url: str
    ago: timedelta = field(default_factory=timedelta)

    def open(self, **options: Any) -> SessionService:
        """An application on it, whose clock is ``ago`` behind."""
        return PersistentSessionService(
            storage_url=self.url, cleanup_interval=None, clock=self._clock, **options
        )

    def _clock(self) -> datetime:
        return datetime.now(UTC) - self.ago


def fill(place: Place) -> None:
    """Four sessions of four users, from the oldest to the newest: talk, evil, same and same."""
    with place.open() as service:
        place.ago = timedelta(days=3)
        service.create_session(
            user_id="ada",
            session_id="talk",
            metadata={"title": "Mock interview", "priority": 2},
            state={"question": 2, "draft": "Salary"},
        )
        service.append("talk", {"role": "user", "text": "I led a team of five."})
        service.append("talk", {"role": "coach", "text": "Tell me more.\nWhat went wrong?"})
        service.append("talk", NewEntry(payload={"tool": "search", "n": [1]}, kind="event"))
        service.pause_session("talk")
        place.ago = timedelta(hours=2)
        service.create_session(user_id="eve", session_id="evil", metadata={"title": HOSTILE})
        service.append("evil", {"role": HOSTILE, "text": HOSTILE})
        for minutes, user in ((20, "bob"), (10, "cleo")):
            place.ago = timedelta(minutes=minutes)
            service.create_session(user_id=user, session_id="same", app_name="support")
    place.ago = timedelta()


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "session_store", *map(str, arguments)]


def environment(**more: str) -> dict[str, str]:
    """As a shell's, without settings of stores."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SESSION_")}
    return kept | {"PYTHONPATH": os.pathsep.join(sys.path), **more}


def run(*arguments: object, **more: str) -> subprocess.CompletedProcess[str]:
    """A process of its own, whose output goes into pipes."""
    return subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        check=False,
        env=environment(**more),
        stdin=subprocess.DEVNULL,
    )


def on_terminal(
    *arguments: object, columns: int = 100, typed: str = "", **more: str
) -> tuple[int, str]:
    """The exit code, and what stands on a terminal after it; ``typed`` is what is typed there."""
    ours, theirs = pty.openpty()
    settings = {"TERM": "xterm-256color", "COLUMNS": str(columns), "PYTHONUTF8": "1", **more}
    process = subprocess.Popen(
        command(*arguments),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment(**settings),
        start_new_session=True,
    )
    os.close(theirs)
    os.write(ours, typed.encode())
    shown = read_all(ours)
    return process.wait(), shown.replace("\r\n", "\n")


def read_all(terminal: int) -> str:
    parts = []
    with os.fdopen(terminal, "rb", buffering=0) as file:
        while True:
            try:
                part = file.read(65536)
            except OSError:  # what Linux says when nobody has the other end any more
                break
            if not part:
                break
            parts.append(part)
    return b"".join(parts).decode()


def lines_of(capsys: Any, *arguments: object) -> list[str]:
    """What a command that works prints."""
    assert main([str(argument) for argument in arguments]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    return str(captured.out).splitlines()


def files_in(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }
