"""Server processes for tests: where and as whom they run, and that none outlives the tests."""

from __future__ import annotations

import os
import pwd
import secrets
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from signal import Signals
from subprocess import DEVNULL, PIPE, Popen
from tempfile import mkdtemp
from typing import Any

LOOPBACK = "127.0.0.1"

# Waits until the tests close its input or are killed. A server that still runs then is in `pid`.
_GUARD = """
read -r _
if pid=$(cat "$1/pid" 2>/dev/null); then kill -QUIT "$pid" && sleep 1; fi
rm -rf "$1"
"""


class NoServerError(Exception):
    """No server of this kind can be used here; the message says what was tried."""


class Daemon:
    """One server process in a ``server_directory``, which can be stopped and started again."""

    def __init__(
        self, command: Sequence[str], directory: Path, answers: Callable[[], bool]
    ) -> None:
        self._command, self._directory, self._answers = command, directory, answers
        self._log = directory / "log"
        self._process: Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when the server answers. Raises NoServerError when it does not come to that."""
        with self._log.open("ab") as log:
            self._process = Popen(
                self._command, stdin=DEVNULL, stdout=log, stderr=log, **environment(self._directory)
            )
        (self._directory / "pid").write_text(str(self._process.pid))
        try:
            self.wait_until_ready()
        except NoServerError:
            self.stop(Signals.SIGKILL)
            raise

    def stop(self, signal: Signals, timeout: float = 30) -> None:
        """Returns when the process has ended; no-op for one that had."""
        if self._process:
            self._process.send_signal(signal)
            self._process.wait(timeout)
            (self._directory / "pid").unlink(missing_ok=True)

    def wait_until_ready(self, timeout: float = 30) -> None:
        deadline = time.monotonic() + timeout
        while not self._answers():
            if self._has_ended() or time.monotonic() > deadline:
                raise NoServerError(f"{self._command[0]} does not answer: {self._last_words()}")
            time.sleep(0.02)

    def _has_ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def _last_words(self) -> str:
        return " | ".join(self._log.read_text(errors="replace").splitlines()[-3:])


@contextmanager
def server_directory(*, on_disk: bool = False) -> Iterator[Path]:
    """A directory for one Daemon, removed at the end.

    A shell waits beside the tests for their end. If they are killed, it stops the server, too.
    """
    directory = Path(mkdtemp(prefix="session-store-test-", dir=None if on_disk else _memory()))
    give_to_server(directory)
    command = ["sh", "-c", _GUARD, "sh", str(directory)]
    guard = Popen(command, stdin=PIPE, cwd="/", start_new_session=True)
    try:
        yield directory
    finally:
        guard.communicate()


def environment(directory: Path) -> dict[str, Any]:
    """For Popen: a server's user and place, and no Ctrl-C of the terminal that runs the tests."""
    return {"cwd": directory, "start_new_session": True, **_user()}


def give_to_server(path: Path) -> None:
    """Makes the server's user own the file, or the folder with all that is in it."""
    if owner := _user():
        for each in (path, *path.rglob("*")):
            os.chown(each, owner["user"], owner["group"], follow_symlinks=False)


def free_port() -> int:
    """One below those that clients are given, which might take it while its server is stopped."""
    while True:
        port = 20_000 + secrets.randbelow(10_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind((LOOPBACK, port))
            return port


def _memory() -> str | None:
    """If there is room for servers and their programs: a database is made in 40 ms, not 280."""
    with suppress(FileNotFoundError):
        place = os.statvfs("/dev/shm")
        room = place.f_bavail * place.f_frsize
        if os.access("/dev/shm", os.W_OK) and not place.f_flag & os.ST_NOEXEC and room > 1 << 30:
            return "/dev/shm"
    return None


def _user() -> dict[str, Any]:
    """Servers refuse to run as root: for root, whom to run them as instead."""
    if os.geteuid() != 0:
        return {}
    user = next(entry for entry in map(_entry, ("postgres", "nobody")) if entry)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _entry(name: str) -> pwd.struct_passwd | None:
    with suppress(KeyError):
        return pwd.getpwnam(name)
    return None
