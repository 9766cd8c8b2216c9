"""From process start to one session read, against SQLAlchemy reading one row by hand.

    python benchmarks/cold_start.py [--sessions 100000] [--rounds 15]

Prints the median ratio of each way to the hand-written one, interleaved in one run, the spread of
the ratios, and the peak memory of each process.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from session_store import Moment, Session, Status, open_repository
from session_store.core.operations import checked_create

MEMORY = """
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""

WAYS = {
    "by hand": """
from sqlalchemy import create_engine, text
engine = create_engine("sqlite:///{path}")
with engine.connect() as connection:
    query = text("SELECT * FROM sessions WHERE app_name = 'default' AND session_id = :id")
    assert connection.execute(query, {{"id": "{session_id}"}}).one().user_id == "user-7"
""",
    "open_repository": """
from datetime import UTC, datetime
from session_store import Moment, SessionKey, open_repository
repository = open_repository("sqlite:///{path}")
key = SessionKey("default", "user-7", "{session_id}")
assert repository.load(key, Moment(datetime.now(UTC))).entries[0].seq == 1
""",
    "PersistentSessionService": """
from session_store import PersistentSessionService
service = PersistentSessionService("sqlite", "{path}")
assert service.get_session("{session_id}").user_id == "user-7"
""",
    "create_session_service": """
import os
os.environ["SESSION_STORAGE_URL"] = "sqlite:///{path}"
from session_store import create_session_service
service = create_session_service()
assert service.get_session("{session_id}").user_id == "user-7"
""",
}


def fill(path: Path, sessions: int) -> None:
    at = Moment(datetime.now(UTC))
    with open_repository(f"sqlite:///{path}") as repository:
        for start in range(0, sessions, 1000):
            numbers = range(start, min(start + 1000, sessions))
            repository.commit([checked_create(_session(n, at), at) for n in numbers])


def _session(number: int, at: Moment) -> Session:
    return Session.model_validate(
        {
            "app_name": "default",
            "user_id": f"user-{number % 1000}",
            "session_id": f"session-{number}",
            "status": Status.RUNNING,
            "version": 1,
            "last_seq": 1,
            "created_at": at.now,
            "updated_at": at.now,
            "entries": [
                {
                    "seq": 1,
                    "entry_id": "first",
                    "kind": "message",
                    "payload": {"role": "user", "text": "Hello"},
                    "created_at": at.now,
                    "version": 1,
                }
            ],
        }
    )


def run(program: str) -> tuple[float, float]:
    """Seconds and peak MB of one process, with compiled files as an installed program has them."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-c", program + MEMORY]
    started = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return time.perf_counter() - started, int(done.stdout) / 1024


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sessions", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "sessions.db")
        fill(path, options.sessions)
        programs = {
            name: way.format(path=path, session_id="session-7") for name, way in WAYS.items()
        }
        for program in programs.values():
            run(program)
        rounds = [
            {name: run(program) for name, program in programs.items()}
            for _ in range(options.rounds)
        ]
    print(f"{options.sessions:,} sessions, {options.rounds} rounds; ratio to 'by hand'")
    for name in WAYS:
        ratios = sorted(one[name][0] / one["by hand"][0] for one in rounds)
        seconds = statistics.median(one[name][0] for one in rounds)
        peak = max(one[name][1] for one in rounds)
        print(
            f"{name:26} {statistics.median(ratios):.2f} (from {ratios[0]:.2f} to {ratios[-1]:.2f})"
            f"  {seconds * 1000:4.0f} ms  {peak:4.0f} MB"
        )


if __name__ == "__main__":
    main()
