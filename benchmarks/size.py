"""Bytes on disk for each entry of 1 KB, when one session takes 100 or 1,000 of them, turn by turn.

All that lies on disk afterwards is counted, with indexes and backups; PostgreSQL's log, which the
databases of a server share, is not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from typing import NamedTuple

from benchmarks.content import Key, long_utterance, seeds
from benchmarks.measure import Say
from benchmarks.modes import Places, size_of
from benchmarks.subject import Subject
from benchmarks.subjects import Candidate

ENTRY = 1000
GROWTHS, QUICK_GROWTHS = (100, 1000), (10, 20)
TOO_MUCH = 10
"""A store that takes so many times the entries' bytes is not asked for ten times as many."""

SESSION = Key("grown-user-0", "grown-0")


class Size(NamedTuple):
    """Bytes that the store grew by, for each of the ``entries``."""

    mode: str
    subject: str
    entries: int
    bytes_each: float


def sizes(
    candidates: Sequence[Candidate], growths: Sequence[int], places: Places, say: Say
) -> Iterator[Size]:
    for candidate in candidates:
        if candidate.subject.offers("load"):
            say(f"size: {candidate.name}, {candidate.mode}")
            with places.new(candidate.store) as place:
                yield from _grown(candidate, growths, place)


def _grown(candidate: Candidate, growths: Sequence[int], place: str) -> Iterator[Size]:
    mode = candidate.store
    candidate.subject.make(mode, place)
    with closing(candidate.subject(mode, place)) as subject:
        subject.fill(seeds("grown", 1, 1, state_bytes=200))
    before, appended = size_of(mode, place), 0
    for entries in growths:
        with closing(candidate.subject(mode, place)) as subject:
            _append(subject, entries - appended)
        appended = entries
        each = (size_of(mode, place) - before) / entries
        yield Size(candidate.mode, candidate.name, entries, each)
        if each > TOO_MUCH * ENTRY:
            break


def _append(subject: Subject, times: int) -> None:
    for _ in range(times):
        message = subject.message(long_utterance(ENTRY))
        subject.ask(partial(subject.turn, subject.held(SESSION), message))
