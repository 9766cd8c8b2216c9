"""The parent's hold on a writer: ask, hear, stop or kill it, and never leave it behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from types import TracebackType
from typing import IO, Final, NamedTuple, Self, cast

from session_store.demo.errors import DemoError
from session_store.demo.writer import Job

PATIENCE: Final = 10.0
"""Seconds that a writer has to save and end when it is asked to."""


class Acknowledgement(NamedTuple):
    """A call of the service has returned; ``entry_id`` and ``seq`` of what it stored, if any."""

    session_id: str
    entry_id: str | None
    seq: int | None


class Writer:
    """A running writer. Leaving the ``with`` block ends it, whatever happened."""

    def __init__(self, job: Job) -> None:
        command = [sys.executable, "-P", "-m", "session_store.demo.writer", job.to_json()]
        # The child finds its modules where this process found them.
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            process_group=0,  # Ctrl-C is for this process, which then ends its child
        )
        self._input = cast(IO[bytes], self._process.stdin)
        self._output = cast(IO[bytes], self._process.stdout)

    def call(self) -> Acknowledgement:
        """Let it make one call and wait until it is acknowledged."""
        self.ask()
        answer = self.acknowledged()
        if answer is None:
            raise DemoError(f"the writer ended with exit code {self._process.wait(PATIENCE)}")
        return answer

    def ask(self) -> None:
        """Let it make one call; do not wait."""
        with suppress(BrokenPipeError):  # it has ended: there will be no acknowledgement
            self._input.write(b".")
            self._input.flush()

    def acknowledged(self) -> Acknowledgement | None:
        """The next acknowledgement; ``None`` when the writer has ended without one."""
        line = self._output.readline()
        return Acknowledgement(**json.loads(line)) if line else None

    def kill(self) -> None:
        """SIGKILL: it ends now, and can do nothing about it."""
        self._process.kill()
        if self._process.wait() != -signal.SIGKILL:
            raise DemoError("the writer had ended before it was killed")

    def stop(self) -> None:
        """SIGTERM, and wait until it has saved and ended; ``DemoError`` when it did not."""
        self._process.terminate()
        try:
            code = self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise DemoError(f"the writer did not end within {PATIENCE:.0f} s") from None
        if code:
            raise DemoError(f"the writer was asked to stop and ended with exit code {code}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            with suppress(DemoError):
                self.stop()
        finally:
            self._process.kill()
            self._process.wait()
            self._input.close()
            self._output.close()
