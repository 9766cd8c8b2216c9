"""A uvicorn process as in production, to be sent requests and signals."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx2

ROOT = Path(__file__).parents[2]


class Server:
    """A running server at ``url``; ``process`` is its parent process."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.process, self.log = process, log
        self.url = f"http://127.0.0.1:{port}"

    def terminate(self, timeout: float = 20) -> float:
        """Send SIGTERM and wait for the end; how many seconds it took."""
        started = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout)
        return time.monotonic() - started

    def wait_until_it_answers(self, path: str, timeout: float = 30) -> None:
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                httpx2.get(self.url + path, timeout=5)
            except httpx2.TransportError:
                time.sleep(0.02)
            else:
                return
        raise RuntimeError(f"the server did not start: {self.log.read_text()}")


@contextmanager
def serving(
    application: str,
    directory: Path,
    environment: Mapping[str, str],
    options: Sequence[str] = (),
    path: str = "/openapi.json",
) -> Iterator[Server]:
    """uvicorn with ``application`` in the working directory ``directory``."""
    port, log = free_port(), directory / "server.log"
    command = [sys.executable, "-m", "uvicorn", application, "--port", str(port), *options]
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            cwd=directory,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
            stdout=output,
            stderr=output,
        )
    server = Server(process, port, log)
    try:
        server.wait_until_it_answers(path)
        yield server
    finally:
        if process.poll() is None:
            server.terminate()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
