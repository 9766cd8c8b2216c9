"""File calls that fail: a process in which store operations meet faults, each in a fork of it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

FOLDER: Final = Path(__file__).parent
KILLED: Final = {"died": -9}

Answer = dict[str, Any]
"""What ``fault_server.run`` answers, or ``{"died": code}``."""


class Fault(NamedTuple):
    """What happens at which counted file call; ``sticky`` to all after it, too. ``reads``: whether
    those that only read count, too."""

    mode: int = 0
    errno: int = 0
    sticky: bool = False
    reads: bool = False


NONE: Final = Fault()
SHORT: Final = Fault(mode=1)
KILL: Final = Fault(mode=2)


class FaultProcess:
    def __init__(self, connection: socket.socket) -> None:
        self._socket, self._answers = connection, connection.makefile("r")

    def run(
        self, store: str, operation: str, directory: Path, n: int = 0, fault: Fault = NONE
    ) -> Answer:
        """Do the operation with a fault at the ``n``-th call; with none when that is 0."""
        numbers = [n, fault.mode, fault.errno, int(fault.sticky), int(fault.reads)]
        command = {"store": store, "operation": operation, "directory": str(directory)}
        self._socket.sendall(json.dumps(command | {"fault": numbers}).encode() + b"\n")
        answer: Answer = json.loads(self._answers.readline())
        return answer

    def close(self) -> None:
        self._answers.close()
        self._socket.close()


@contextmanager
def fault_process(broken: Callable[[], Any] | None = None) -> Iterator[FaultProcess]:
    """In it, the store is broken by the variant, a function that can be imported."""
    ours, theirs = socket.socketpair()
    variant = f"{broken.__module__}:{broken.__name__}" if broken else ""
    process = subprocess.Popen(
        [sys.executable, "-B", FOLDER / "fault_server.py", str(theirs.fileno()), variant],
        pass_fds=[theirs.fileno()],
        env=os.environ | {"LD_PRELOAD": str(_shim()), "PYTHONPATH": str(FOLDER.parents[2])},
    )
    theirs.close()
    faults = FaultProcess(ours)
    try:
        yield faults
    finally:
        faults.close()
        process.wait()


@cache
def _shim() -> Path:
    compiler = shutil.which("gcc") or shutil.which("cc") or "cc"
    path = Path(_directory().name, "shim.so")
    source = FOLDER / "fault_shim.c"
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", path, source, "-ldl"], check=True)
    return path


@cache
def _directory() -> TemporaryDirectory[str]:
    """Kept until this process ends."""
    return TemporaryDirectory()
