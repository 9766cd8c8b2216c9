"""What is measured: one way to keep sessions. A peer is one class of this kind in ``subjects``."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from typing import Any, ClassVar, TypeVar

from benchmarks.content import Document, Key, Seed
from benchmarks.modes import Mode

R = TypeVar("R")
Call = Callable[[], Any]
"""Made before the clock starts; an ``AsyncSubject``'s is awaited."""

CROWD = 8
THREADS = 5
"""Behind the tasks of a subject that blocks: as many as our own service has."""


class NotOffered(Exception):
    """The subject has no such call."""


class Subject(ABC):
    """Sessions in one store. What a method returns is the subject's own kind of answer.

    ``hold`` and ``message`` make of a key and an utterance what its calls take.
    """

    refusals: ClassVar[tuple[type[Exception], ...]] = ()
    """What is raised by a turn that is refused because others write."""

    def __init__(self, mode: Mode, place: str) -> None:
        self.mode, self.place = mode, place
        self._held = dict[Key, Any]()

    @classmethod  # noqa: B027 - most have none to make
    def make(cls, mode: Mode, place: str) -> None:
        """Make the tables, before it is opened for the first time."""

    @abstractmethod
    def fill(self, seeds: Iterable[Seed]) -> None:
        """Store these sessions in bulk."""

    def hold(self, key: Key) -> Any:
        return key

    def message(self, utterance: Document) -> Any:
        return utterance

    @abstractmethod
    def turn(self, held: Any, message: Any) -> object: ...

    def late_turn(self, key: Key, message: Any) -> object:
        """A turn after others', for which the session is looked at first where it must be."""
        return self.turn(self.hold(key), message)

    def set_state(self, held: Any, name: str, value: Document) -> object:
        raise NotImplementedError

    def load(self, held: Any) -> object:
        """The whole history."""
        raise NotImplementedError

    def load_last(self, held: Any, count: int) -> object:
        raise NotImplementedError

    def create(self, key: Key) -> object:
        raise NotImplementedError

    def newest(self, user_id: str, count: int) -> object:
        raise NotImplementedError

    def newest_ids(self, user_id: str, count: int) -> object:
        """As ``newest``, of which only ids and times are wanted."""
        raise NotImplementedError

    def delete(self, key: Key) -> object:
        raise NotImplementedError

    def remove_expired(self) -> object:
        """All that are idle for a week."""
        raise NotImplementedError

    def reader(self, key: Key) -> str:
        """A program that reads the session's ``entries``, as an application of this kind would."""
        raise NotImplementedError

    def count(self, answer: Any) -> int:
        """How many entries or sessions an answer has."""
        raise NotImplementedError

    @abstractmethod
    def close(self) -> None: ...

    # How it is called ---------------------------------------------------------------------------

    @classmethod
    def offers(cls, call: str) -> bool:
        """Whether it has one of its own."""
        return getattr(cls, call) is not getattr(Subject, call)

    def held(self, key: Key) -> Any:
        """What ``hold`` made, the first time or when it was refreshed."""
        return self._held[key] if key in self._held else self.refreshed(key)

    def refreshed(self, key: Key) -> Any:
        """After others wrote."""
        self._held[key] = self.ask(partial(self.hold, key))
        return self._held[key]

    def entries(self, key: Key) -> int:
        """How many the session has."""
        return self.count(self.ask(partial(self.load, self.held(key))))

    def ask(self, call: Call) -> Any:
        """The answer of one call."""
        return call()

    def seconds(self, calls: Iterable[Call], limit: float) -> list[float]:
        """How long each took; after ``limit`` seconds no other begins."""
        taken, clock = list[float](), time.perf_counter
        end = clock() + limit
        for call in calls:
            began = clock()
            call()
            taken.append(clock() - began)
            if began > end:
                break
        return taken

    async def awaited_turn(self, held: Any, message: Any) -> object:
        """A turn in ``async`` code."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self.turn, held, message)

    def wait(self, work: Coroutine[Any, Any, R]) -> R:
        return asyncio.run(work)

    @cached_property
    def crowd(self) -> ThreadPoolExecutor:
        """Threads that stay, and with them their connections."""
        return ThreadPoolExecutor(CROWD)

    @cached_property
    def _threads(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(THREADS)


class AsyncSubject(Subject):
    """A subject whose calls are awaited, in one event loop of its own."""

    def __init__(self, mode: Mode, place: str) -> None:
        super().__init__(mode, place)
        self.loop = asyncio.new_event_loop()

    async def hold(self, key: Key) -> Any:
        return key

    async def late_turn(self, key: Key, message: Any) -> object:
        return await self.awaited_turn(await self.hold(key), message)

    def ask(self, call: Call) -> Any:
        return self.wait(_awaited(call()))

    def seconds(self, calls: Iterable[Call], limit: float) -> list[float]:
        return self.wait(self._seconds(calls, limit))

    async def _seconds(self, calls: Iterable[Call], limit: float) -> list[float]:
        taken, clock = list[float](), time.perf_counter
        end = clock() + limit
        for call in calls:
            began = clock()
            await call()
            taken.append(clock() - began)
            if began > end:
                break
        return taken

    async def awaited_turn(self, held: Any, message: Any) -> object:
        turn: Any = self.turn(held, message)
        return await turn

    def wait(self, work: Coroutine[Any, Any, R]) -> R:
        return self.loop.run_until_complete(work)

    def close(self) -> None:
        self.loop.close()


async def _awaited(answer: Awaitable[R]) -> R:
    return await answer
