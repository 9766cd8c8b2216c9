"""What the commands take as whole processes, beside a Python that starts and ends.

    python -m benchmarks.command_line [--sessions 100000] [--entries 6] [--rounds 5]
    python -m benchmarks.command_line --sessions 1000000 --entries 1 --state-bytes 200 --only stats

Fills an SQLite store with sessions of the last 14 days, and prints for each command the median
time, and its ratio to that of ``python -c pass``, in turn in one run.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.bulk import fill
from benchmarks.content import DAY, STATE_BYTES, Seed, seeds
from benchmarks.modes import MODES
from session_store import open_repository

DAYS = 14
COMMANDS = {
    "help": ["--help"],
    "list": ["list", "--limit", "50"],
    "stats": ["stats"],
    "search": ["search", "--text", "no such words"],
}


def spread(count: int, entries: int = 6, state_bytes: int = STATE_BYTES) -> Iterator[Seed]:
    """The sessions, over the days."""
    now = time.time()
    for number, seed in enumerate(seeds("grown", count, entries, state_bytes=state_bytes)):
        yield seed._replace(updated=now - DAYS * DAY * 0.99 * (count - number) / count)


def seconds(command: Sequence[str], environment: dict[str, str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=100_000)
    parser.add_argument("--entries", type=int, default=6, help="of each session")
    parser.add_argument("--state-bytes", type=int, default=STATE_BYTES, help="of each session")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=COMMANDS, help="only this command")
    options = parser.parse_args()
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environment |= {"SESSION_EXPIRATION_HOURS": "never"}
    with TemporaryDirectory() as directory:
        path = Path(directory, "sessions.db")
        open_repository(path).close()
        fill(
            MODES["sqlite-full"],
            directory,
            spread(options.sessions, options.entries, options.state_bytes),
        )
        environment |= {"SESSION_STORAGE_TYPE": "sqlite", "SESSION_STORAGE_PATH": str(path)}
        ours = [sys.executable, "-m", "session_store"]
        ways = {"python -c pass": [sys.executable, "-c", "pass"]}
        ways |= {
            name: [*ours, *arguments]
            for name, arguments in COMMANDS.items()
            if options.only in (None, name)
        }
        for command in ways.values():
            seconds(command, environment)
        rounds = [
            {name: seconds(command, environment) for name, command in ways.items()}
            for _ in range(options.rounds)
        ]
    print(f"{options.sessions:,} sessions, {options.rounds} rounds; ratio to 'python -c pass'")
    for name in ways:
        ratio = statistics.median(one[name] / one["python -c pass"] for one in rounds)
        taken = statistics.median(one[name] for one in rounds)
        print(f"{name:20} {ratio:8.1f}  {taken * 1000:8.0f} ms")


if __name__ == "__main__":
    main()
