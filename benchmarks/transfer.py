"""How fast sessions move, and what memory that takes.

    uv run --with chitchat-dataset python -m benchmarks.transfer --sessions 100000 \
        --postgres postgresql://user@host/empty_database

The sessions are the conversations of the Chit-Chat data set, under new ids until there are enough
of them; without that package, the 180 which come with ours. Every step is a process of its own,
whose peak is what the operating system says. Without --postgres the steps with it are left out.
The tables must be there: session-store db upgrade.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count, islice
from pathlib import Path
from typing import Any, NamedTuple

from session_store.backends import open_repository, open_storage, storage_of
from session_store.core import codec
from session_store.core.ids import new_id
from session_store.core.operations import Moment, Operation, Put
from session_store.core.records import EntryRecord, SessionRecord
from session_store.demo.conversations import load
from session_store.transfer import sources
from session_store.transfer.archive import Archive, archive_sessions
from session_store.transfer.copying import copy_sessions
from session_store.transfer.exporting import export_sessions
from session_store.transfer.importing import import_sessions

BUILT = 500
"""Sessions of one commit."""

Message = tuple[str, str, datetime]


class Talk(NamedTuple):
    """A conversation: its user, its title, and who said what and when."""

    user_id: str
    title: str
    messages: list[Message]


class Step(NamedTuple):
    """What is measured: the function of that name, between these places."""

    name: str
    source: str
    destination: str


def talks() -> list[Talk]:
    try:
        from chitchat_dataset import Dataset
    except ImportError:
        return [
            Talk(one.user_id, one.title, [(t.role, t.text, _time(t.timestamp)) for t in one.turns])
            for one in load(180)
        ]
    return [_talk(found) for found in Dataset().values()]


def _talk(found: Any) -> Talk:
    said = [one for turn in found["messages"] for one in turn]
    user = said[0]["sender"] if said else "nobody"
    return Talk(
        user,
        str(found.get("prompt", "")),
        [
            (
                "user" if one["sender"] == user else "assistant",
                one["text"],
                _time(one["timestamp"]),
            )
            for one in said
        ],
    )


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def built(wanted: int) -> Iterator[Put]:
    """So many sessions; those of another round of the data set are a day later."""
    every = talks()
    for number in range(wanted):
        talk = every[number % len(every)]
        yield _session(talk, timedelta(days=number // len(every)))


def _session(talk: Talk, later: timedelta) -> Put:
    times = [time + later for _, _, time in talk.messages] or [datetime(2018, 1, 1, tzinfo=UTC)]
    entries = tuple(
        EntryRecord(
            seq,
            new_id(),
            "message",
            codec.encode({"role": role, "text": text}, "payload"),
            time + later,
            seq + 1,
        )
        for seq, (role, text, time) in enumerate(talk.messages, 1)
    )
    record = SessionRecord(
        app_name="default",
        user_id=talk.user_id,
        session_id=new_id(),
        status="running",
        version=len(entries) + 1,
        last_seq=len(entries),
        created_at=min(times),
        updated_at=max(times),
        completed_at=None,
        expires_at=None,
        state='{"step":1}',
        agent_states="{}",
        metadata=codec.encode({"title": talk.title}, "metadata"),
    )
    return Put(record, entries, Moment(max(times)))


# Steps, each in a process of its own -------------------------------------------------------------


def fill(wanted: str, place: str) -> int:
    rest, entries = built(int(wanted)), 0
    with open_repository(place) as repository:
        while puts := list(islice(rest, BUILT)):
            operations: list[Operation] = list(puts)
            repository.commit(operations)
            entries += sum(len(put.entries) for put in puts)
    return entries


def export(place: str, path: str) -> int:
    with sources.opened(storage_of(place)) as source:
        return export_sessions(source.repository, path).entries


def load_export(path: str, place: str) -> int:
    with open_repository(place) as repository:
        return import_sessions(path, repository).entries


def copy(source: str, destination: str) -> int:
    with (
        sources.opened(storage_of(source)) as one,
        open_storage(storage_of(destination)) as other,
    ):
        return copy_sessions(one.repository, other).entries


def archive(place: str, directory: str) -> int:
    """Everything leaves the store, since at the end of time all of it is idle."""
    end = datetime.max.replace(tzinfo=UTC)
    before = os.path.getsize(place)
    with open_repository(place) as repository:
        report = archive_sessions(repository, Archive(directory), Moment(end, idle_cutoff=end))
    after = sum(one.stat().st_size for one in Path(directory).rglob("*.zst"))
    print(f"archive with its indexes: {before / after:.2f} times smaller", file=sys.stderr)
    return report.entries


STEPS: dict[str, Callable[[str, str], int]] = {
    "fill": fill,
    "export": export,
    "import": load_export,
    "copy": copy,
    "archive": archive,
}


def steps(directory: Path, sessions: int, postgres: str | None) -> Iterator[Step]:
    source = str(directory / "source.db")
    yield Step("fill", str(sessions), source)
    for suffix in ("jsonl", "jsonl.gz", "jsonl.zst"):
        yield Step("export", source, str(directory / f"export.{suffix}"))
    yield Step("import", str(directory / "export.jsonl.zst"), str(directory / "imported.db"))
    yield Step("copy", source, str(directory / "copied.db"))
    yield Step("copy", source, str(directory / "copied.db"))
    yield Step("archive", str(directory / "imported.db"), str(directory / "archive"))
    if postgres:
        yield Step("copy", source, postgres)
        yield Step("copy", postgres, str(directory / "back.db"))
        yield Step("export", postgres, str(directory / "export-of-postgres.jsonl.zst"))


def main() -> None:
    parser = argparse.ArgumentParser(description="How fast sessions move.")
    parser.add_argument("--sessions", type=int, default=100_000)
    parser.add_argument("--postgres", metavar="URL", help="an empty store in PostgreSQL")
    parser.add_argument("--directory", type=Path, help="where the files lie; default: a new one")
    parser.add_argument("--limit", type=float, default=3600, help="seconds that a step may take")
    parser.add_argument("--step", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        _take(Step(*options.step))
        return
    with tempfile.TemporaryDirectory(dir=options.directory) as directory:
        for number in count():
            wanted = list(steps(Path(directory), options.sessions, options.postgres))
            if number == len(wanted):
                return
            _report(wanted[number], options.limit)


def _take(step: Step) -> None:
    started = time.perf_counter()
    entries = STEPS[step.name](step.source, step.destination)
    seconds = time.perf_counter() - started
    used = resource.getrusage(resource.RUSAGE_SELF)
    found = {"entries": entries, "seconds": seconds, "peak": used.ru_maxrss / 1024}
    print(json.dumps(found | {"cpu": used.ru_utime + used.ru_stime}))


def _report(step: Step, limit: float) -> None:
    command = [sys.executable, "-m", "benchmarks.transfer", "--step", *step]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=limit)
    found = json.loads(done.stdout)
    rate = found["entries"] / found["seconds"]
    size = os.path.getsize(step.destination) / 1e6 if os.path.isfile(step.destination) else 0
    print(
        f"{step.name:7} {_shown(step.source):>24} -> {_shown(step.destination):28} "
        f"{found['entries']:>9,} entries {found['seconds']:7.1f} s {rate:>8,.0f}/s "
        f"{1e6 * found['cpu'] / max(found['entries'], 1):5.1f} us of this process an entry "
        f"peak {found['peak']:4.0f} MB" + (f"  {size:,.0f} MB on disk" if size else ""),
        flush=True,
    )


def _shown(place: str) -> str:
    return "postgresql" if place.startswith("postgres") else Path(place).name


if __name__ == "__main__":
    main()
