"""Every back end against the memory one: two clients, clocks that step, stores opened again.

Whatever is done, both answer alike or refuse alike, and after every step both hold the same; also
for other processes, and after processes were killed in the middle of a write.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from session_store.backends.memory import MemoryRepository
from session_store.core.operations import Delete, Moment, Operation, checked_apply, checked_create
from session_store.core.queries import Query, Window, checked_filter
from session_store.errors import SessionStoreError
from session_store.repository import SessionRepository
from session_store.session import Changes, Session, SessionKey, Status
from session_store.testing.given import BEGINNING, NOW, exact, listed, new_session
from tests.backends.processes import exit_code, forked, killed_at_call
from tests.strategies import changes, names, small_documents, small_values

if TYPE_CHECKING:
    from tests.conftest import Backend

KEYS = [
    SessionKey("app", "u", "s"),
    SessionKey("app", "u", "S"),
    SessionKey("app", "v", "s"),
    SessionKey("b", "u", "s"),
]


def mostly(usual: Any, *others: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from([usual] * 3 * len(others) + [*others])


keys = st.sampled_from(KEYS)
clients = st.sampled_from([0, 1])
aims = mostly(True, False)
"""Whether a step looks for a session that is there (or, to create one, that is not)."""

steps = mostly(1, -5, 20, -3600, 86_400)
"""Of the clock, in seconds: a client's may be set back, or be another client's."""

killable = mostly("apply", "delete", "sweep")
seconds = mostly(None, 0, 10, 60)
past = mostly(None, 0, -1)
"""The expected version, from the session's at present; or none."""

sessions = st.fixed_dictionaries(
    {
        "history": st.lists(small_values, max_size=3),
        "status": st.sampled_from(Status),
        "state": small_documents,
        "metadata": small_documents,
    }
)
windows = st.builds(
    Window,
    last=st.none() | st.integers(0, 4),
    after=st.none() | st.integers(0, 4),
    kind=st.none() | st.sampled_from(["message", "event", "checkpoint"]),
)
moments = st.integers(0, 60).map(lambda n: NOW + timedelta(seconds=n))
queries: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"order_by": st.sampled_from(["updated_at", "created_at"]), "limit": st.integers(1, 4)},
    optional={
        "app_name": mostly("app", "b", "none"),
        "user_id": st.sampled_from("uv"),
        "session_id": st.sampled_from("sS"),
        "status": st.sampled_from(Status) | st.lists(st.sampled_from(Status), max_size=2),
        "created_after": moments,
        "updated_before": moments,
        "metadata": st.dictionaries(names, st.sampled_from([None, True, 1, 1.0, "x"]), max_size=1),
    },
)


def outcome(work: Callable[[], Any]) -> str:
    """What ``work`` answered or how it was refused, exactly."""
    try:
        return exact(work())
    except SessionStoreError as error:
        return f"{type(error).__name__}: {error}"


class StoreMachine(RuleBasedStateMachine):
    """Takes every step on the memory back end and on one client of the store that is tested."""

    def __init__(self, backend: Backend) -> None:
        super().__init__()
        self._stack = ExitStack()
        self._directory = Path(self._stack.enter_context(TemporaryDirectory()))
        self.backend = backend
        self.memory = MemoryRepository()
        first = self._open()
        self.clients = [first, self._open() if backend.durable else first]
        self.looking = 0
        self.now = NOW

    def teardown(self) -> None:
        for client in self.clients:
            client.close()
        self._stack.close()

    def _open(self) -> SessionRepository:
        return self.backend.open_in(self._directory)

    def _same(self, client: int, work: Callable[[SessionRepository], Any]) -> None:
        expected = outcome(lambda: work(self.memory))
        assert outcome(lambda: work(self.clients[client])) == expected

    def _at(self, idle: int | None = None, age: int | None = None) -> Moment:
        return Moment(self.now, self._ago(idle), self._ago(age))

    def _ago(self, number: int | None) -> datetime | None:
        return None if number is None else self.now - timedelta(seconds=number)

    def _aimed(self, key: SessionKey, *, aim: bool, live: bool = True) -> SessionKey:
        """``key``, or another one that is live, or not."""
        found = [head.key for head in listed(self.memory, self._at())]
        wanted = [other for other in KEYS if (other in found) == live]
        return wanted[KEYS.index(key) % len(wanted)] if aim and wanted else key

    def _version(self, key: SessionKey, offset: int | None) -> int | None:
        found = self.memory.fetch(key, Window(last=0))
        return None if found is None or offset is None else found.record.version + offset

    def _session(self, key: SessionKey, fields: dict[str, Any]) -> Session:
        return new_session(key, created_at=self.now, updated_at=self.now, **fields)

    @initialize(fields=sessions)
    def begin(self, fields: dict[str, Any]) -> None:
        for key in KEYS[:3]:
            self.create(client=0, key=key, fields=fields, life=None, idle=None, aim=False)

    @rule(step=steps)
    def tick(self, step: int) -> None:
        self.now += timedelta(seconds=step, microseconds=step)

    @rule(client=clients, key=keys, fields=sessions, life=seconds, idle=seconds, aim=aims)
    def create(
        self,
        *,
        client: int,
        key: SessionKey,
        fields: dict[str, Any],
        life: int | None,
        idle: int | None,
        aim: bool,
    ) -> None:
        end = None if life is None else self.now + timedelta(seconds=life)
        key = self._aimed(key, aim=aim, live=False)
        session = self._session(key, {**fields, "expires_at": end})
        self._same(client, lambda store: store.create(session, self._at(idle)))

    @rule(client=clients, key=keys, change=changes(NOW), offset=past, idle=seconds, aim=aims)
    def apply(
        self,
        *,
        client: int,
        key: SessionKey,
        change: Changes,
        offset: int | None,
        idle: int | None,
        aim: bool,
    ) -> None:
        key = self._aimed(key, aim=aim)
        version = self._version(key, offset)
        self._same(client, lambda store: store.apply(key, change, self._at(idle), version))

    @rule(client=clients, key=keys, change=changes(NOW))
    def apply_twice(self, client: int, key: SessionKey, change: Changes) -> None:
        """As one does who did not hear the answer."""
        key = self._aimed(key, aim=True)
        for _ in range(2):
            self._same(client, lambda store: store.apply(key, change, self._at()))

    @precondition(lambda self: self.now > NOW + timedelta(seconds=30))
    @rule(client=clients, key=keys, idle=seconds)
    def delete(self, client: int, key: SessionKey, idle: int | None) -> None:
        self._same(client, lambda store: store.delete(key, self._at(idle)))

    @rule(client=clients, steps=st.lists(st.tuples(keys, changes(NOW)), max_size=3), odd=st.data())
    def commit(self, client: int, steps: list[tuple[SessionKey, Changes]], odd: Any) -> None:
        """Several changes at once, and among them a deletion and a creation."""
        operations: list[Operation] = [
            checked_apply(self._aimed(key, aim=True), change, self._at(), None)
            for key, change in steps
        ]
        if odd.draw(st.booleans()):
            key = odd.draw(keys)
            place = odd.draw(st.integers(0, len(operations)))
            created = checked_create(self._session(key, odd.draw(sessions)), self._at())
            operations[place:place] = [Delete(key, self._at()), created]
        self._same(client, lambda store: store.commit(operations))

    @rule(client=clients, key=keys, window=windows, idle=seconds, age=seconds, aim=aims)
    def load(
        self,
        *,
        client: int,
        key: SessionKey,
        window: Window,
        idle: int | None,
        age: int | None,
        aim: bool,
    ) -> None:
        key = self._aimed(key, aim=aim)
        self._same(client, lambda store: store.load(key, self._at(idle, age), window))

    @rule(client=clients, query=queries, idle=seconds, age=seconds)
    def list(self, client: int, query: dict[str, Any], idle: int | None, age: int | None) -> None:
        at = self._at(idle, age)
        self._same(client, lambda store: listed(store, at, **query))
        self._same(client, lambda store: store.list(Query(**query), at))
        self._same(client, lambda store: store.count(checked_filter(Query(**query)), at))

    @rule(client=clients, idle=seconds, age=seconds)
    def stats(self, client: int, idle: int | None, age: int | None) -> None:
        at = self._at(idle, age)
        self._same(client, lambda store: store.stats(at).model_copy(update={"size_bytes": None}))

    @rule(client=clients, limit=st.integers(1, 4), idle=seconds, age=seconds)
    def sweep(self, client: int, limit: int, idle: int | None, age: int | None) -> None:
        """Which of the expired go first is free; so all go, in batches."""

        def swept(store: SessionRepository) -> int:
            batches = [store.remove_expired(self._at(idle, age), limit)]
            while batches[-1]:
                assert batches[-1] <= limit
                batches.append(store.remove_expired(self._at(idle, age), limit))
            return sum(batches)

        self._same(client, swept)

    @precondition(lambda self: self.backend.durable)
    @rule(client=clients)
    def reopen(self, client: int) -> None:
        self.clients[client].close()
        self.clients[client] = self._open()

    @precondition(lambda self: self.backend.durable)
    @rule(client=clients)
    def look_from_another_process(self, client: int) -> None:
        """One that opens the store, and one that was forked from a client."""
        expected = outcome(lambda: held(self.memory))

        def look(store: SessionRepository) -> None:
            assert outcome(lambda: held(store)) == expected

        def reopen() -> None:
            with self._open() as store:
                look(store)

        for work in (reopen, lambda: look(self.clients[client])):
            assert exit_code(forked(work)) == 0

    @precondition(lambda self: self.backend.durable)
    @rule(client=clients, key=keys, change=changes(NOW), does=killable, calls=st.integers(1, 300))
    def be_killed(
        self, client: int, key: SessionKey, change: Changes, does: str, calls: int
    ) -> None:
        """A process is killed somewhere in a write: all of it is there, or nothing."""
        key, at = self._aimed(key, aim=True), self._at(idle=10)
        write: Callable[[SessionRepository], Any] = {
            "apply": lambda store: store.apply(key, change, at),
            "delete": lambda store: store.delete(key, at),
            "sweep": lambda store: store.remove_expired(at, 1000),
        }[does]
        before = outcome(lambda: held(self.memory))
        is_killed = killed_at_call(calls, lambda: outcome(lambda: write(self.clients[client])))
        self.backend.settle()
        if not is_killed or outcome(lambda: held(self.clients[client])) != before:
            outcome(lambda: write(self.memory))
        self._same(client, held)

    @invariant()
    def both_hold_the_same(self) -> None:
        self.looking = 1 - self.looking
        self._same(self.looking, held)


def held(store: SessionRepository) -> list[Any]:
    sessions = [store.load(head.key, BEGINNING) for head in listed(store, limit=1000)]
    shared = [store.load_shared(app, user) for app in ("app", "b") for user in (None, "u")]
    return [*sessions, *shared]
