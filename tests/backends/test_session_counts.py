"""``session_counts``: whatever is written, by whom and however it ends, what the database keeps is
what a count finds."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from random import Random

import pytest

from session_store.backends.sql.repository import SqlRepository
from session_store.core.operations import Moment
from session_store.errors import (
    CorruptStoreError,
    IllegalTransitionError,
    SessionExistsError,
    SessionNotFoundError,
    StaleSessionError,
)
from session_store.session import Documents, NewCheckpoint, Restored, SessionKey, Status
from session_store.testing.given import (
    after,
    application,
    at,
    change,
    create,
    creation,
    deletion,
    load,
    messages,
)
from tests.backends.counted import COUNTED, Database, File, Place
from tests.backends.processes import exit_code, forked, kill

REFUSALS = (
    IllegalTransitionError,
    SessionExistsError,
    SessionNotFoundError,
    StaleSessionError,
)


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "sqlite":
        found: Place = File(tmp_path / "sessions.db")
    else:
        found = Database(request.getfixturevalue("url"))
    found.open().close()
    return found


@pytest.fixture
def store(place: Place) -> Iterator[SqlRepository]:
    with place.open() as opened:
        yield opened


class Anybody:
    """Does whatever can be done to a few sessions, in an order that its ``seed`` makes."""

    def __init__(self, store: SqlRepository, seed: int) -> None:
        self.store, self.random, self.now = store, Random(seed), 0.0
        self.done: Counter[str] = Counter()
        self.acts = [self.create, self.create, self.append, self.move, self.delete, self.sweep]
        self.acts += [self.several, self.checkpoint, self.restore, self.stale]

    def act(self) -> None:
        self.now += self.random.random() / 5
        act = self.random.choice(self.acts)
        with suppress(*REFUSALS):
            act()
            self.done[act.__name__] += 1

    def key(self) -> SessionKey:
        return SessionKey("app", "ada", f"{self.random.randrange(12)}")

    def moment(self) -> Moment:
        return at(self.now, idle_cutoff=self.now - 10)

    def create(self) -> None:
        own = self.random.choice((None, after(self.now + 1)))
        status = self.random.choice(tuple(Status))
        create(self.store, self.key(), seconds=self.now, expires_at=own, status=status)

    def append(self) -> None:
        change(self.store, self.key(), moment=self.moment(), entries=messages(f"{self.now}"))

    def move(self) -> None:
        status = self.random.choice(tuple(Status))
        change(self.store, self.key(), moment=self.moment(), status=status)

    def delete(self) -> None:
        self.store.delete(self.key(), self.moment())

    def sweep(self) -> None:
        self.store.remove_expired(self.moment(), self.random.choice((1, 100)))

    def several(self) -> None:
        """All or none of them: the last is often refused."""
        self.store.commit(
            [
                creation(SessionKey("app", "bob", f"{self.now}"), status=Status.RUNNING),
                deletion(self.key()),
                application(self.key(), entries=messages(f"{self.now}")),
            ]
        )

    def checkpoint(self) -> None:
        change(
            self.store,
            self.key(),
            moment=self.moment(),
            checkpoint=NewCheckpoint(checkpoint_id="c"),
        )

    def restore(self) -> None:
        head = load(self.store, self.key(), self.moment())
        restored = Restored(
            status=self.random.choice(tuple(Status)),
            documents=Documents(state={}, agent_states={}, metadata={}),
        )
        change(
            self.store, head.key, moment=self.moment(), restore=restored, rewind_to=head.last_seq
        )

    def stale(self) -> None:
        change(self.store, self.key(), moment=self.moment(), status="running", expected_version=-7)


@pytest.mark.parametrize("seed", range(3))
def test_they_agree_after_whatever_was_done(store: SqlRepository, place: Place, seed: int) -> None:
    anybody, seen = Anybody(store, seed), set()
    for _ in range(200):
        anybody.act()
        total, running = place.check()
        stats = store.stats(at(-9e6))
        assert (stats.total_sessions, stats.active_sessions) == (total, running)
        seen.add((total, running))
    assert len(seen) > 15, "nothing much has happened"
    assert {act.__name__ for act in anybody.acts} - set(anybody.done) == {"stale"}


def test_they_agree_after_threads_processes_and_one_that_is_killed(
    store: SqlRepository, place: Place
) -> None:
    store.close()

    def work(seed: int, turns: int) -> None:
        with place.open() as own:
            both = [Anybody(own, seed + n) for n in range(2)]

            def act(anybody: Anybody) -> None:
                for _ in range(turns):
                    anybody.act()

            threads = [threading.Thread(target=act, args=(each,)) for each in both]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

    endless = forked(partial(work, 90, 10**6))
    children = [forked(partial(work, seed, 50)) for seed in (10, 20)]
    assert [exit_code(child) for child in children] == [0, 0]
    kill(endless)
    total, running = place.check()
    place.run(place.insert(1, 30, "running"))
    assert place.check() == (total + 30, running + 30)


def test_what_people_write_by_hand_is_counted(place: Place) -> None:
    place.run(place.insert(1, 1500, "created"), place.insert(1501, 1600, "running"))
    assert place.check() == (1600, 100)
    place.run("UPDATE sessions SET status = 'running' WHERE session_id LIKE 's1%'")
    assert place.check() == (1600, 712)
    place.run("UPDATE sessions SET status = 'running', version = 2")
    place.run("UPDATE sessions SET status = 'failed' WHERE session_id <> 's7'")
    assert place.check() == (1600, 1)
    place.run("DELETE FROM sessions WHERE session_id LIKE 's15%'")
    assert place.check() == (1489, 1)
    place.run("DELETE FROM sessions")
    assert place.check() == (0, 0)


def test_what_is_rolled_back_is_not(place: Place) -> None:
    place.run(place.insert(1, 10, "running"))
    with closing(place.connect()) as connection:
        for begin, end in (("SAVEPOINT a", "ROLLBACK TO a"), ("SAVEPOINT b", "RELEASE b")):
            connection.execute("BEGIN" if begin == "SAVEPOINT a" else "SELECT 1")
            connection.execute(begin)
            connection.execute(place.insert(11 if "a" in end else 20, 25, "running"))
            connection.execute("DELETE FROM sessions WHERE session_id = 's1'")
            connection.execute(end)
        connection.commit()
        assert place.check() == (15, 15)
        connection.execute("UPDATE sessions SET status = 'paused'")
        connection.rollback()
    assert place.check() == (15, 15)


@pytest.mark.parametrize(
    "damage", ["DELETE FROM session_counts", "UPDATE session_counts SET total = -5"]
)
def test_counts_that_cannot_be_are_an_error(
    store: SqlRepository, place: Place, damage: str
) -> None:
    create(store)
    place.run(damage)
    with pytest.raises(CorruptStoreError, match="count again"):
        store.stats(at())
    place.run(
        "DELETE FROM session_counts", "INSERT INTO session_counts (total, running) " + COUNTED
    )
    assert store.stats(at()).total_sessions == 1
