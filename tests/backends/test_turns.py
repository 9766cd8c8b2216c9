"""A turn has a way of its own in SQL, and ``decide`` is what it must agree with."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, given, settings

from session_store.backends.memory import MemoryRepository
from session_store.backends.sql.repository import SqlRepository
from session_store.backends.sql.sqlite.store import open_sqlite
from session_store.core.operations import Moment
from session_store.errors import SessionStoreError
from session_store.repository import SessionRepository
from session_store.session import Changes, NewEntry, Status
from session_store.testing.given import KEY, after, create, load

Step = tuple[Changes, Moment, int | None]

entries = st.builds(
    NewEntry, payload=st.integers(0, 1), kind=st.sampled_from("xy"), entry_id=st.sampled_from("abc")
)
turns = st.builds(lambda entry: Changes(entries=(entry,)), entries)
others = st.builds(Changes, status=st.sampled_from(Status)) | st.builds(
    Changes, state=st.just({"n": 1}), entries=st.tuples(entries)
)
times = st.integers(0, 6).map(after)
moments = st.builds(Moment, times, st.none() | times, st.none() | times)
steps = st.lists(
    st.tuples(turns | turns | others, moments, st.none() | st.integers(1, 4)), max_size=8
)


def outcome(store: SessionRepository, step: Step) -> Any:
    changes, at, version = step
    try:
        return store.apply(KEY, changes, at, version)
    except SessionStoreError as error:
        return type(error), str(error)


def agree(store: SessionRepository, taken: list[Step]) -> None:
    store.delete(KEY, Moment(after(0)))  # what an example that failed has left
    with MemoryRepository() as memory:
        for each in (store, memory):
            create(each)
        for step in taken:
            assert outcome(store, step) == outcome(memory, step)
        assert load(store) == load(memory)


@settings(max_examples=150)
@given(steps)
def test_on_sqlite(taken: list[Step]) -> None:
    with (
        TemporaryDirectory() as directory,
        open_sqlite(Path(directory, "s.db"), synchronous="NORMAL") as store,
    ):
        agree(store, taken)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(taken=steps)
def test_on_postgresql(store: SqlRepository, taken: list[Step]) -> None:
    agree(store, taken)
