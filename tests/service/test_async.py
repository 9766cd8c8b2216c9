"""The asynchronous service: the same calls, awaited, each in a worker thread."""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from pydantic import BaseModel

from session_store import (
    AsyncSessionService,
    NewEntry,
    SessionNotFoundError,
    SessionService,
    StoreUnavailableError,
)
from session_store.core.operations import Operation
from session_store.service.aio import DEFAULT_THREADS
from session_store.session import Applied
from tests.service.support import (
    CALLS,
    FakeClock,
    Store,
    Wrapped,
    create_many,
    payloads,
    ready_session,
    seqs,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def public(kind: type) -> dict[str, Any]:
    """The methods that a user of this class calls."""
    return {
        name: method
        for name, method in inspect.getmembers(kind, inspect.isfunction)
        if not name.startswith("_")
    }


METHODS = public(SessionService)


def test_there_is_a_method_for_every_method() -> None:
    assert public(AsyncSessionService).keys() == METHODS.keys()


@pytest.mark.parametrize("name", METHODS)
def test_every_method_has_the_signature_and_the_words_of_its_original(name: str) -> None:
    ours, original = getattr(AsyncSessionService, name), METHODS[name]
    assert ours.__doc__ == original.__doc__
    assert list(inspect.signature(ours).parameters.values()) == list(
        inspect.signature(original).parameters.values()
    )


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_awaited_and_pages_are_iterated(name: str) -> None:
    method = getattr(AsyncSessionService, name)
    assert (
        inspect.isasyncgenfunction(method)
        if name == "pages"
        else inspect.iscoroutinefunction(method)
    )


def without_ids(answer: object) -> object:
    """An answer without what differs between two users, and without ids that were made."""
    if not isinstance(answer, BaseModel):
        return answer
    left_out: Any = {"key": True, "user_id": True, "entries": {"__all__": {"entry_id"}}}
    return answer.model_dump(exclude=left_out)


async def test_every_call_does_what_its_original_does(store: Store) -> None:
    plain = store.open()
    service = AsyncSessionService(plain)
    for name, call in CALLS.items():
        for who in ("plain", "awaited"):
            ready_session(plain, user_id=who, session_id="s1")
        expected = call(plain, "s1", user_id="plain")
        answer = await call(service, "s1", user_id="awaited")  # type: ignore[misc]
        assert without_ids(answer) == without_ids(expected), name
        for who in ("plain", "awaited"):
            await service.delete_session("s1", user_id=who)


async def test_errors_come_out_as_they_are(store: Store) -> None:
    async with AsyncSessionService(store.open()) as service:
        with pytest.raises(SessionNotFoundError, match="no live session"):
            await service.get_session("unknown")


async def test_lists_counts_statistics_and_shared_documents_are_asked_for(store: Store) -> None:
    async with AsyncSessionService(store.open()) as service:
        await service.create_session(user_id="ada", session_id="s1")
        await service.update_state("s1", {"a": 1}, app_state={"theme": "dark"})
        assert await service.get_session_count(user_id="ada") == 1
        assert len((await service.list_sessions(limit=1)).sessions) == 1
        assert len(await service.get_all_user_sessions("ada")) == 1
        assert len(await service.get_active_sessions()) == 1
        assert await service.get_shared_state() == {"theme": "dark"}
        assert (await service.get_storage_stats())["total_sessions"] == 1
        assert await service.cleanup_expired_sessions() == 0
        assert await service.force_save() >= 0


async def test_pages_are_iterated_one_after_the_other(memory: SessionService) -> None:
    create_many(memory, 25)
    async with AsyncSessionService(memory) as service:
        sizes = [len(page.sessions) async for page in service.pages(limit=10, user_id="ada")]
        assert sizes == [10, 10, 5]
        async for page in service.pages(limit=10):
            assert len(page.sessions) == 10
            break


async def test_leaving_the_context_saves_and_closes(durable: Store) -> None:
    async with AsyncSessionService(durable.open(auto_save=False)) as service:
        await service.create_session(user_id="ada", session_id="s1")
    with pytest.raises(StoreUnavailableError, match="closed"):
        await service.get_session("s1")
    assert durable.open().get_session("s1").user_id == "ada"


async def test_leaving_the_context_while_cancelled_saves_all_the_same(durable: Store) -> None:
    with anyio.CancelScope() as scope:
        async with AsyncSessionService(durable.open(auto_save=False)) as service:
            await service.create_session(user_id="ada", session_id="s1")
            scope.cancel()
            await anyio.lowlevel.checkpoint()
    assert scope.cancelled_caught
    assert durable.open().get_session("s1").user_id == "ada"


async def test_closing_saves_in_a_thread_too(clock: FakeClock) -> None:
    repository = Slow()
    plain = SessionService(repository, auto_save=False, cleanup_interval=None, clock=clock)
    service = AsyncSessionService(plain)
    await service.create_session(user_id="ada", session_id="s1")
    closing = asyncio.create_task(service.close())
    await begun(repository)
    assert not closing.done()
    repository.may_go_on.set()  # who blocked the loop until then would never come here
    await closing
    assert repository.ended.is_set()


async def test_an_error_inside_the_context_saves_too(durable: Store) -> None:
    with suppress(ZeroDivisionError):
        async with AsyncSessionService(durable.open(auto_save=False)) as service:
            await service.create_session(user_id="ada", session_id="s1")
            raise ZeroDivisionError
    assert durable.open().get_session("s1").user_id == "ada"


def test_it_is_made_outside_a_running_loop_and_used_in_several(store: Store) -> None:
    service = AsyncSessionService(store.open())

    async def turn(number: int) -> int:
        if number == 0:
            await service.create_session(user_id="ada", session_id="s1")
        await asyncio.gather(*(service.append("s1", number) for _ in range(8)))
        return (await service.get_session("s1")).last_seq

    assert [asyncio.run(turn(number)) for number in range(3)] == [8, 16, 24]


class Pooled(Wrapped):
    """A store with three connections; counts how many calls are in it at once."""

    pool_size = 3

    def __init__(self) -> None:
        super().__init__()
        self.all_in = threading.Barrier(3)
        self.lock = threading.Lock()
        self.inside = self.most = 0

    def commit(self, operations: Sequence[Operation]) -> tuple[Applied | None, ...]:
        with self.lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        self.all_in.wait(10)  # breaks if fewer than three may enter
        time.sleep(0.005)  # a fourth would come in now
        try:
            return super().commit(operations)
        finally:
            with self.lock:
                self.inside -= 1


async def test_as_many_calls_run_at_once_as_the_store_has_connections(clock: FakeClock) -> None:
    repository = Pooled()
    service = AsyncSessionService(SessionService(repository, cleanup_interval=None, clock=clock))
    async with service, asyncio.TaskGroup() as tasks:
        for number in range(12):
            tasks.create_task(service.create_session(user_id=f"user {number}"))
    assert repository.most == 3


async def test_a_store_without_a_pool_gets_a_few_threads(memory: SessionService) -> None:
    assert AsyncSessionService(memory)._limiter.total_tokens == DEFAULT_THREADS


class Slow(Wrapped):
    """A commit takes until the test lets it go on."""

    def __init__(self) -> None:
        super().__init__()
        self.began, self.may_go_on, self.ended = (threading.Event() for _ in range(3))

    def commit(self, operations: Sequence[Operation]) -> tuple[Applied | None, ...]:
        self.began.set()
        assert self.may_go_on.wait(10)
        try:
            return super().commit(operations)
        finally:
            self.ended.set()

    def lets_pass_after(self, seconds: float) -> None:
        threading.Timer(seconds, self.may_go_on.set).start()


@pytest.fixture
def slow(clock: FakeClock) -> Iterator[tuple[Slow, AsyncSessionService]]:
    """With one session, ``s1``."""
    repository = Slow()
    repository.may_go_on.set()
    with SessionService(repository, cleanup_interval=None, clock=clock) as service:
        service.create_session(user_id="ada", session_id="s1")
        for event in (repository.began, repository.may_go_on, repository.ended):
            event.clear()
        yield repository, AsyncSessionService(service)


async def begun(repository: Slow) -> None:
    assert await asyncio.to_thread(repository.began.wait, 10)


async def test_under_a_cancelled_scope_the_save_ends_first(
    slow: tuple[Slow, AsyncSessionService],
) -> None:
    repository, service = slow
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(service.append, "s1", "begun")
        await begun(repository)
        tasks.cancel_scope.cancel()
        repository.lets_pass_after(0.05)
    assert repository.ended.is_set()
    assert payloads(service.service.get_session("s1")) == ["begun"]


async def test_under_a_bare_cancel_the_save_ends_in_the_background(
    slow: tuple[Slow, AsyncSessionService],
) -> None:
    repository, service = slow
    task = asyncio.create_task(service.append("s1", "begun"))
    await begun(repository)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert payloads(service.service.get_session("s1")) == []
    repository.may_go_on.set()
    assert await asyncio.to_thread(repository.ended.wait, 10)
    assert payloads(service.service.get_session("s1")) == ["begun"]


async def test_a_save_given_too_little_time_ends_in_the_background(
    slow: tuple[Slow, AsyncSessionService],
) -> None:
    repository, service = slow

    async def in_time(limit: asyncio.Timeout) -> None:
        async with limit:
            await service.append("s1", "begun")

    limit = asyncio.timeout(None)
    task = asyncio.create_task(in_time(limit))
    await begun(repository)
    limit.reschedule(asyncio.get_running_loop().time())
    with pytest.raises(TimeoutError):
        await task
    repository.may_go_on.set()
    assert await asyncio.to_thread(repository.ended.wait, 10)
    assert payloads(service.service.get_session("s1")) == ["begun"]


def test_a_loop_that_ends_waits_for_a_save_left_in_the_background(
    slow: tuple[Slow, AsyncSessionService],
) -> None:
    repository, service = slow

    async def main() -> None:
        task = asyncio.create_task(service.append("s1", "begun"))
        await begun(repository)
        task.cancel()

    repository.lets_pass_after(0.1)
    asyncio.run(main())
    assert repository.ended.wait(10)
    assert payloads(service.service.get_session("s1")) == ["begun"]


async def test_a_call_that_has_not_begun_is_cancelled_without_a_trace(
    slow: tuple[Slow, AsyncSessionService],
) -> None:
    repository, service = slow
    tasks = [
        asyncio.create_task(service.append("s1", number, user_id="ada"))
        for number in range(DEFAULT_THREADS + 1)
    ]
    await begun(repository)
    await asyncio.sleep(0.02)
    tasks[-1].cancel()
    repository.may_go_on.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(answers[-1], asyncio.CancelledError)
    assert sorted(payloads(service.service.get_session("s1"))) == list(range(DEFAULT_THREADS))


async def _under_scope(save: Callable[[], Awaitable[object]], seconds: float) -> bool:
    """Whether the save was acknowledged."""
    with anyio.move_on_after(seconds):
        await save()
        return True
    return False


async def _bare(save: Callable[[], Awaitable[object]], seconds: float) -> bool:
    task = asyncio.ensure_future(save())
    await asyncio.sleep(seconds)
    task.cancel()
    return (await asyncio.gather(task, return_exceptions=True))[0] is None


@pytest.mark.parametrize("cancelled", [_under_scope, _bare], ids=["scope", "bare"])
async def test_cancelled_batches_are_wholly_there_or_not_at_all(
    durable: Store, cancelled: Callable[[Callable[[], Awaitable[object]], float], Awaitable[bool]]
) -> None:
    """Sixty batches of three by six tasks, cancelled after between none and all of their time."""
    service = AsyncSessionService(durable.open())
    await service.create_session(user_id="ada", session_id="s1")
    acknowledged = []

    async def turns(writer: int) -> None:
        for number in range(10):
            name = f"{writer}.{number}"
            batch = [NewEntry(payload=name, entry_id=f"{name}.{part}") for part in range(3)]

            async def save(batch: list[NewEntry] = batch) -> None:
                await service.append("s1", batch)

            if await cancelled(save, 0.001 * (number % 5) * (1 + writer)):
                acknowledged.append(name)

    async with asyncio.TaskGroup() as tasks:
        for writer in range(6):
            tasks.create_task(turns(writer))
    await service.append("s1", "after all")
    await service.close()
    session = durable.open().get_session("s1")
    stored = payloads(session)
    stored.remove("after all")
    assert seqs(session) == list(range(1, len(session.entries) + 1))
    assert all(stored[n] == stored[n - n % 3] for n in range(len(stored)))
    assert len(set(stored)) * 3 == len(stored)
    assert set(acknowledged) <= set(stored)
