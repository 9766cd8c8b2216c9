"""Ids are UUIDs of version 7 that only grow."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_store.core import ids
from session_store.core.ids import new_id

FULL = 2**122 - 1


@pytest.fixture(autouse=True)
def _own_counter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ids, "_last", 0)


def test_an_id_is_a_uuid_of_version_7_with_the_time_first() -> None:
    before = time.time_ns() // 1_000_000
    made = UUID(new_id())
    after = time.time_ns() // 1_000_000
    assert (made.version, made.variant) == (7, RFC_4122)
    assert before <= made.int >> 80 <= after


def test_an_id_is_text_in_the_usual_form() -> None:
    made = new_id()
    assert (len(made), str(UUID(made))) == (36, made)


def test_ids_grow_as_text() -> None:
    made = [new_id() for _ in range(20_000)]
    assert made == sorted(set(made))


def test_ids_of_several_threads_differ_and_grow_in_each() -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: [new_id() for _ in range(2_000)], range(8)))
    assert all(part == sorted(part) for part in made)
    assert len({one for part in made for one in part}) == 16_000


def test_ids_grow_when_the_clock_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    first = new_id()
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    assert first < new_id() < new_id()


def test_a_forked_process_does_not_make_the_same_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    new_id()
    at_the_fork = ids._last
    parents = {new_id() for _ in range(100)}
    monkeypatch.setattr(ids, "_last", at_the_fork)
    assert parents.isdisjoint(new_id() for _ in range(100))


@given(st.integers(0, FULL), st.integers(0, FULL))
def test_the_fixed_bits_do_not_change_the_order(one: int, two: int) -> None:
    assert (ids._stamped(one) < ids._stamped(two)) == (one < two)


@given(st.integers(0, 2**122 - 1))
def test_the_fixed_bits_are_always_there(count: int) -> None:
    made = UUID(int=ids._stamped(count))
    assert (made.version, made.variant) == (7, RFC_4122)
