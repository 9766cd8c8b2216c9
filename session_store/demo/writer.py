"""The process that writes, and that is killed: ``python -m session_store.demo.writer JOB``.

It carries out one call for each byte on its standard input, as a server does for each request, and
acknowledges it in a line of JSON when the call has returned. It ends, and saves what it holds in
memory, when the input ends or SIGTERM or SIGINT comes; a call under way is finished first.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import chain, islice
from queue import SimpleQueue
from typing import Self

from session_store.demo.conversations import load
from session_store.demo.script import Step, steps
from session_store.errors import SessionStoreError
from session_store.service import PersistentSessionService
from session_store.session import Entry


@dataclass(frozen=True, slots=True)
class Job:
    """What a writer is to do: the steps from number ``first``, into the store in ``directory``."""

    storage: str
    directory: str
    conversations: int
    first: int = 0
    auto_save: bool = True

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        return cls(**json.loads(text))

    def open(self) -> PersistentSessionService:
        return PersistentSessionService(
            storage_type=self.storage, storage_path=self.directory, auto_save=self.auto_save
        )

    def steps(self) -> Iterator[Step]:
        return islice(steps(load(self.conversations)), self.first, None)


def main() -> int:
    requests = _requests()
    try:
        # The store is opened for the first request: a parent that is gone may have removed it.
        if first := next(requests, b""):
            _serve(Job.from_json(sys.argv[1]), chain([first], requests))
    except SessionStoreError as error:
        print(f"session-store: the writer failed: {error}", file=sys.stderr)
        return 1
    return 0


def _serve(job: Job, requests: Iterable[bytes]) -> None:
    with job.open() as service:
        for _, step in zip(requests, job.steps(), strict=False):
            _acknowledge(step, step.carry_out(service))


def _requests() -> Iterator[bytes]:
    """One item a byte of the input, until it ends or a signal asks to stop."""
    inbox: SimpleQueue[bytes] = SimpleQueue()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: inbox.put(b""))
    threading.Thread(target=_listen, args=(inbox,), daemon=True).start()
    return iter(inbox.get, b"")


def _listen(inbox: SimpleQueue[bytes]) -> None:
    while byte := os.read(sys.stdin.fileno(), 1):
        inbox.put(byte)
    inbox.put(b"")


def _acknowledge(step: Step, entry: Entry | None) -> None:
    line = {
        "session_id": step.conversation.session_id,
        "entry_id": entry and entry.entry_id,
        "seq": entry and entry.seq,
    }
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    sys.exit(main())
