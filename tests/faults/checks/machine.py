"""Every back end beside the one in memory, step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple, cast
from unittest.mock import patch

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, run_state_machine_as_test

from session_store.backends.json_file.repository import JsonFileRepository
from session_store.backends.sql.repository import SqlRepository
from session_store.core.queries import Filter
from session_store.repository import SessionRepository
from tests.faults.frame import Outcomes, check
from tests.faults.place import Place
from tests.faults.state_machine import StoreMachine
from tests.servers.stores import PostgresStore

STEPS = 40
"""Of one example, at most; usually it has fewer."""
USUAL = 30


@contextmanager
def pages_that_begin_anew() -> Iterator[None]:
    def from_the_first(select: Any) -> Any:
        def selected(store: Any, query: Filter, _: Any, *rest: Any) -> Any:
            return select(store, query, None, *rest)

        return selected

    with (
        patch.object(JsonFileRepository, "select", from_the_first(JsonFileRepository.select)),
        patch.object(SqlRepository, "select", from_the_first(SqlRepository.select)),
    ):
        yield


class _Stores(NamedTuple):
    """What the machine needs to know of a back end."""

    open_in: Callable[[Path], SessionRepository]
    settle: Callable[[], None] = lambda: None
    durable: bool = True


@check(
    "X5",
    "a back end does each step as the one in memory: two clients, clocks, reopenings, kills",
    stores=["file", "sqlite", "postgresql"],
    trials=(500, 10_000),
    broken=[pages_that_begin_anew],
    broken_trials=1000,
)
def steps(place: Place, trials: int) -> Outcomes:
    """An example that fails is the end of the check, and one failure."""
    taken, stores = count(), _stores(place)

    class Machine(StoreMachine):
        def __init__(self) -> None:
            super().__init__(cast(Any, stores))

        @invariant()
        def is_counted(self) -> None:
            next(taken)

    chosen = settings(
        max_examples=-(-trials // USUAL),
        stateful_step_count=STEPS,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    try:
        run_state_machine_as_test(cast(type[RuleBasedStateMachine], Machine), settings=chosen)
    except AssertionError as error:
        yield f"after {next(taken)} steps: {str(error)[:500]}"
    yield from [None] * next(taken)


def _stores(place: Place) -> _Stores:
    if place.store == "postgresql":
        store = PostgresStore(place.url)
        return _Stores(store.open_in, store.settle)

    def opened(directory: Path) -> SessionRepository:
        return Place(place.store, directory, place.servers).open()

    return _Stores(opened)
