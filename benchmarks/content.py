"""What the stores are filled with: sessions made of the Chit-Chat data set's real utterances."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import cache
from itertools import count, cycle, islice
from secrets import token_hex
from typing import Any, NamedTuple

from session_store.demo.conversations import Turn, load

CONVERSATIONS = 180
STATE_BYTES = 4000
HEAD_BYTES = 200
DAY = 86_400.0

Document = dict[str, Any]


class Key(NamedTuple):
    """Whose session, and which."""

    user_id: str
    session_id: str


class Seed(NamedTuple):
    """A session to fill a store with; ``updated`` is in seconds since the epoch."""

    key: Key
    metadata: Document
    state: Document
    entries: list[Document]
    updated: float


@cache
def utterances() -> list[Turn]:
    return [turn for talk in load(CONVERSATIONS) for turn in talk.turns]


_numbers, _process = count(1), token_hex(8)


def utterance() -> Document:
    """The next one, as an entry that is written by hand: with its own id and time."""
    number = next(_numbers)
    turn = utterances()[number % len(utterances())]
    return {
        "id": f"{_process}{number:016x}",
        "ts": time.time(),
        "role": turn.role,
        "text": turn.text,
    }


def long_utterance(size: int) -> Document:
    """An entry of about ``size`` bytes of JSON: so many utterances in one."""
    made, room = utterance(), size - 80
    while len(made["text"]) < room:
        made["text"] += f" {utterance()['text']}"
    return made | {"text": made["text"][:room]}


def state(size: int = STATE_BYTES) -> Document:
    """A document of about ``size`` bytes of JSON."""
    made, used = Document(), 0
    for number, turn in enumerate(cycle(utterances())):
        value = {"step": number, "done": True, "text": turn.text}
        used += len(turn.text) + 50
        if used > size:
            return made
        made[f"key-{number:03}"] = value
    return made


def key_of(prefix: str, number: int, per_user: int = 1) -> Key:
    return Key(f"{prefix}-user-{number // per_user}", f"{prefix}-{number}")


def seeds(
    prefix: str,
    sessions: int,
    entries: int | Callable[[int], int],
    *,
    per_user: int = 1,
    state_bytes: int = STATE_BYTES,
    age: float = 0.0,
) -> Iterator[Seed]:
    """Sessions 0, 1, 2…, ``per_user`` of each user. They were last written in the day that ended
    ``age`` seconds ago, in an order that is not the one of their numbers. ``entries`` may depend
    on the number."""
    document, now, step = state(state_bytes), time.time(), min(1.0, DAY / max(sessions, 1))
    held = entries if callable(entries) else lambda _: entries
    for number in range(sessions):
        yield Seed(
            key=key_of(prefix, number, per_user),
            metadata={"title": f"Conversation {number}", "source": "web"},
            state=document,
            entries=list(islice(iter(utterance, None), held(number))),
            updated=now - age - number * 7919 % sessions * step,
        )
