"""Values that stores have broken on, and values made to break them."""

from __future__ import annotations

import faulthandler
import os
import resource
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import cycle, islice
from typing import Any, Final
from unittest.mock import patch

from pydantic_core import to_json

from session_store.core import codec
from session_store.errors import InvalidValueError
from session_store.repository import SessionRepository
from session_store.session import SessionKey
from session_store.testing.given import change, contents, count, create, exact, load, message
from session_store.testing.oddities import REFUSED, VALUES, nested
from tests.backends.processes import exit_code, forked
from tests.faults.frame import EVERY, Outcomes, check
from tests.faults.place import Place

STORES = ("memory", "file", "sqlite", "postgresql")
SECONDS = 1.0
MEGABYTES = 200


@contextmanager
def keys_in_order() -> Iterator[None]:
    """As JSONB and some encoders have them."""

    def ordered(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: ordered(value[key]) for key in sorted(value)}
        return [*map(ordered, value)] if isinstance(value, list | tuple) else value

    with patch.object(codec, "to_json", lambda value: to_json(ordered(value))):
        yield


@contextmanager
def whatever_the_encoder_takes() -> Iterator[None]:
    """No check before it, which writes NaN as null and a set as an array."""
    with patch.object(codec, "_check", lambda *_: None):
        yield


@contextmanager
def no_budget() -> Iterator[None]:
    with patch.object(codec._Budget, "spend", lambda *_: None):
        yield


@check(
    "X1",
    "an odd value comes back as it was, or is refused before anything is written",
    stores=STORES,
    trials=(EVERY, EVERY),
    broken=[keys_in_order, whatever_the_encoder_takes],
)
def odd_values(place: Place, trials: int) -> Outcomes:
    """The order of their keys, ``-0.0`` and the types of numbers are part of what they were."""
    with place.open() as store:
        for number, (name, value) in enumerate(VALUES.items()):
            key = SessionKey("app", "ada", f"{number}")
            create(store, key, state={"v": value}, history=[value])
            yield None if _holds(store, key, value) else f"{name} is another value"
        create(store)
        before = count(store)
        for name, (value, _) in REFUSED.items():
            ways: list[dict[str, Any]] = [
                {"state": {"v": value}},
                {"entries": [message("e", value)]},
            ]
            for changes in ways:
                is_refused = _is_refused(partial(change, store, **changes))
                intact = (load(store).version, count(store)) == (1, before)
                yield None if is_refused and intact else f"{name} is not refused"
    if place.store != "memory":
        with place.open() as store:
            for number, (name, value) in enumerate(VALUES.items()):
                found = _holds(store, SessionKey("app", "ada", f"{number}"), value)
                yield None if found else f"{name} is another value when opened again"


def _holds(store: SessionRepository, key: SessionKey, value: Any) -> bool:
    session = load(store, key)
    return exact(session.state["v"]) == exact(session.entries[0].payload) == exact(value)


def _is_refused(work: Callable[[], object]) -> bool:
    """Any other error is none of ours."""
    try:
        work()
    except InvalidValueError:
        return True
    except Exception:  # noqa: BLE001 - whatever it is
        return False
    return False


def _doubled(times: int) -> Any:
    value: Any = "a"
    for _ in range(times):
        value = [value, value]
    return value


def _tripled(times: int) -> Any:
    value: Any = 1
    for _ in range(times):
        value = {"a": value, "b": value, "c": value}
    return value


BOMBS: Final[Mapping[str, Callable[[], Any]]] = {
    "a list twice in a list, 90 times": lambda: _doubled(90),
    "an object thrice in an object, 90 times": lambda: _tripled(90),
    "a list twice in a list, 26 times": lambda: _doubled(26),
    "a long text a million times": lambda: ["x" * 100_000] * 1_000_000,
    "a long key a million times": lambda: [{"x" * 100_000: 0}] * 1_000_000,
    "a text of 60 MB": lambda: "x" * 60_000_000,
    "a text of 60 MB beyond ASCII": lambda: "é" * 30_000_000,
    "a key of 60 MB": lambda: {"x" * 60_000_000: 0},
    "20 million numbers": lambda: [0] * 20_000_000,
    "20 million empty lists": lambda: [[]] * 20_000_000,
    "100,000 lists, each in the next": lambda: nested(100_000),
    "an integer of a million digits": lambda: 10**1_000_000,
    "control characters, which are six bytes each": lambda: "\0" * 10_000_000,
}


@check(
    "X2",
    "a JSON bomb is refused within 1 s and 200 MB, and nothing of it is written",
    stores=STORES,
    trials=(len(BOMBS), 10 * len(BOMBS)),
    broken=[no_budget],
)
def bombs(place: Place, trials: int) -> Outcomes:
    """Each in a process of its own, which ends where it takes much more."""
    with place.open() as store:
        create(store)
        before = contents(store)
        for name in islice(cycle(BOMBS), trials):
            code = exit_code(forked(partial(_explode, store, BOMBS[name])))
            intact = place.store == "memory" or contents(store) == before
            yield None if intact and not code else f"{name}: {CODES.get(code, code)}"


CODES: Final = {3: "not refused", 4: "too slow", 5: "too large"}


def _explode(store: SessionRepository, bomb: Callable[[], Any]) -> None:
    faulthandler.disable()  # of the broken variant, which ends by this
    value = bomb()
    signal.setitimer(signal.ITIMER_PROF, 2 * SECONDS)
    limit = _address_space() + 4 * MEGABYTES * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    size, began = _peak(), time.process_time()
    is_refused = _is_refused(partial(change, store, entries=[message("e", value)]))
    if not is_refused or load(store).version != 1:
        os._exit(3)
    if time.process_time() - began > SECONDS:
        os._exit(4)
    if _peak() - size > MEGABYTES * 2**20:
        os._exit(5)


def _address_space() -> int:
    with open("/proc/self/statm") as numbers:
        return int(numbers.read().split()[0]) * resource.getpagesize()


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
