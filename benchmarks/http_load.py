"""Appends over HTTP from many clients to several workers: is each acknowledged one there, in order?

    python -m benchmarks.http_load                                   # 30 s on each store
    python -m benchmarks.http_load --storage sqlite --workers 4 --seconds 60

Starts ``uvicorn --workers`` on an empty store. Each client appends to sessions that all share, and
reads now and then. Afterwards the store is opened and compared with the answers: what was
acknowledged must be there under its ``seq``, seqs must have no gaps, and what one client sent to a
session must be in its order. PostgreSQL is started for it. Ends with 1 when anything is wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import httpx2

from session_store import Session, SessionService, Settings, create_session_service

APPLICATION = "benchmarks.http_app:app"
STORES = ("file", "sqlite", "postgresql")
SESSIONS = 16
READ_EVERY = 10
START = 60
"""Seconds that all workers are given to start."""


class Acknowledged(NamedTuple):
    """An append that was answered with 200."""

    session_id: str
    entry_id: str
    seq: int


@dataclass
class Load:
    """What the clients saw."""

    seconds: float = 0
    statuses: Counter[int] = field(default_factory=Counter)
    acknowledged: list[list[Acknowledged]] = field(default_factory=list)
    """Of each client, in its order."""
    workers: set[str] = field(default_factory=set)
    """The processes that answered."""

    def count(self, answer: httpx2.Response) -> None:
        self.statuses[answer.status_code] += 1
        self.workers.add(answer.headers["x-worker"])

    @property
    def requests(self) -> int:
        return sum(self.statuses.values())


@dataclass
class Verdict:
    """What the store has, beside what was acknowledged."""

    stored: int = 0
    missing: int = 0
    gaps: int = 0
    disordered: int = 0

    @property
    def is_good(self) -> bool:
        return not (self.missing or self.gaps or self.disordered)


async def put_under_load(url: str, seconds: float, clients: int) -> Load:
    """Create the sessions, then append from each client until the time is over."""
    load = Load(acknowledged=[[] for _ in range(clients)])
    limits = httpx2.Limits(max_connections=clients, max_keepalive_connections=clients)
    async with httpx2.AsyncClient(base_url=url, limits=limits, timeout=60) as http:
        for number in range(SESSIONS):
            body = {"user_id": "ada", "session_id": f"s{number}"}
            load.count(await http.post("/sessions", json=body))
        started = time.monotonic()
        until = started + seconds
        tasks = [append_until(http, until, number, load) for number in range(clients)]
        await asyncio.gather(*tasks)
        load.seconds = time.monotonic() - started
    return load


async def append_until(http: httpx2.AsyncClient, until: float, client: int, load: Load) -> None:
    for number in itertools.count():
        if time.monotonic() > until:
            return
        session_id, entry_id = f"s{(client + number) % SESSIONS}", f"{client}-{number}"
        path = f"/sessions/{session_id}"
        body = {"entries": [{"payload": {"text": entry_id}, "entry_id": entry_id}]}
        answer = await http.post(f"{path}/entries?user_id=ada", json=body)
        load.count(answer)
        if answer.status_code == httpx2.codes.OK:
            seq = answer.json()["entries"][0]["seq"]
            load.acknowledged[client].append(Acknowledged(session_id, entry_id, seq))
        if number % READ_EVERY == 0:
            # A new connection now and then, or one worker might have all of them.
            read = http.get(f"{path}?last=5&user_id=ada", headers={"Connection": "close"})
            load.count(await read)


async def until_all_answer(url: str, workers: int) -> None:
    """Until each worker has answered a request; a slow machine starts them one by one."""
    seen: set[str] = set()
    until = time.monotonic() + START
    while len(seen) < workers and time.monotonic() < until:
        async with httpx2.AsyncClient(base_url=url, timeout=60) as http:
            answers = await asyncio.gather(*(http.get("/sessions") for _ in range(2 * workers)))
        seen |= {answer.headers["x-worker"] for answer in answers}


def compare(service: SessionService, load: Load) -> Verdict:
    """The store, opened anew, beside the answers."""
    sessions = {
        f"s{number}": service.get_session(f"s{number}", user_id="ada") for number in range(SESSIONS)
    }
    verdict = Verdict(stored=sum(len(session.entries) for session in sessions.values()))
    for session in sessions.values():
        seqs = [entry.seq for entry in session.entries]
        verdict.gaps += seqs != list(range(1, len(seqs) + 1))
    places = {session_id: _places(session) for session_id, session in sessions.items()}
    for answers in load.acknowledged:
        verdict.missing += sum(places[a.session_id].get(a.entry_id) != a.seq for a in answers)
        verdict.disordered += _disordered(answers)
    return verdict


def _places(session: Session) -> Mapping[str, int]:
    return {entry.entry_id: entry.seq for entry in session.entries}


def _disordered(answers: Sequence[Acknowledged]) -> int:
    """How many answers of one client have a smaller ``seq`` than one before in that session."""
    newest: Counter[str] = Counter()
    found = 0
    for answer in answers:
        found += answer.seq <= newest[answer.session_id]
        newest[answer.session_id] = answer.seq
    return found


@contextmanager
def settings_of(storage: str, directory: Path) -> Iterator[dict[str, str]]:
    """The environment of an empty store."""
    if storage != "postgresql":
        yield {"SESSION_STORAGE_TYPE": storage, "SESSION_STORAGE_PATH": str(directory / "store")}
        return
    from tests.servers.postgres import running_postgres
    from tests.servers.stores import upgrade

    with running_postgres(durable=True) as server:
        url = server.create_database()
        upgrade(url)
        yield {"SESSION_STORAGE_TYPE": storage, "SESSION_STORAGE_URL": url}


def run(
    environment: Mapping[str, str], directory: Path, *, seconds: float, clients: int, workers: int
) -> tuple[Load, Verdict]:
    """A server under load, ended by SIGTERM, and what its store then holds."""
    from tests.web.server import serving

    options = ["--workers", str(workers), "--no-access-log"]
    with serving(APPLICATION, directory, environment, options, "/sessions/health") as server:
        asyncio.run(until_all_answer(server.url, workers))
        load = asyncio.run(put_under_load(server.url, seconds, clients))
        server.terminate()
    settings = Settings.load(None, {**environment, "SESSION_CLEANUP_INTERVAL_MINUTES": "never"})
    with create_session_service(settings) as service:
        return load, compare(service, load)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--storage", choices=STORES, action="append", help="default: each")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args(arguments)
    good = True
    for storage in options.storage or STORES:
        with TemporaryDirectory() as name, settings_of(storage, Path(name)) as environment:
            load, verdict = run(
                environment,
                Path(name),
                seconds=options.seconds,
                clients=options.clients,
                workers=options.workers,
            )
        good = shown(storage, load, verdict) and good
    sys.exit(0 if good else 1)


def shown(storage: str, load: Load, verdict: Verdict) -> bool:
    acknowledged = sum(map(len, load.acknowledged))
    failed: dict[Any, int] = {code: n for code, n in load.statuses.items() if code >= 400}
    print(
        f"{storage}: {load.requests} requests in {load.seconds:.1f} s "
        f"({load.requests / load.seconds:.0f}/s) to {len(load.workers)} workers, "
        f"{acknowledged} appends acknowledged, {verdict.stored} stored, {verdict.missing} missing, "
        f"{verdict.gaps} sessions with gaps, {verdict.disordered} out of order, "
        f"other statuses: {failed or 'none'}"
    )
    return verdict.is_good and not failed


if __name__ == "__main__":
    main()
