"""Several callers' writes, carried out together by one of them: eight threads share a file's save.

The first caller leads. Those who come while it writes wait, and the first of them leads the next
group, for all. A caller never waits for more than the group that is being written and its own.
Whoever was in the last group is likely to come again just when the next one begins, so a leader
gives them a millisecond: without, of eight busy threads not five share a write; with it, seven.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, Generic, TypeAlias, TypeVar

from session_store.errors import (
    CorruptStoreError,
    DurabilityUnknownError,
    OutcomeUnknownError,
    SessionStoreError,
    StoreUnavailableError,
)

GATHERING: Final = 0.001
"""Seconds. Half and double of it differ by less than the spread."""

State = TypeVar("State")
Answer = TypeVar("Answer")
Exclusive: TypeAlias = Callable[[float], AbstractContextManager[None]]


class Call(Generic[State]):
    """One caller's work, which changes the state or raises and leaves it as it was."""

    def __init__(self, work: Callable[[State], Any], deadline: float) -> None:
        self._work: Final = work
        self.deadline: Final = deadline
        self.is_settled = False
        self._answer: Any = None
        self._error: Exception | None = None

    def run(self, state: State) -> None:
        try:
            self._answer = self._work(state)
        except Exception as error:  # noqa: BLE001 - it is raised to the caller whose work it was
            self._error = error

    def fail(self, error: BaseException) -> None:
        """The group was not written. An own error stays where the others' work is visible."""
        if self._error is None or not isinstance(error, DurabilityUnknownError):
            self._error = _for_one_caller(error)

    def outcome(self) -> Any:
        if self._error is not None:
            raise self._error
        return self._answer


class GroupCommit(Generic[State]):
    """``exclusive`` excludes other processes until a deadline. ``carry_out`` runs each call and
    writes the outcome; what it raises, every call of the group gets."""

    def __init__(
        self, exclusive: Exclusive, carry_out: Callable[[Sequence[Call[State]]], None]
    ) -> None:
        self._exclusive, self._carry_out = exclusive, carry_out
        lock = threading.Lock()
        self._turn, self._arrival = threading.Condition(lock), threading.Condition(lock)
        self._crowd = 1
        self._waiting: list[Call[State]] = []
        self._is_led = False

    def run(self, work: Callable[[State], Answer], deadline: float) -> Answer:
        """The answer of ``work``, when it is written."""
        call = Call(work, deadline)
        if not self._was_settled_by_another(call):
            self._lead(call)
        answer: Answer = call.outcome()
        return answer

    def _was_settled_by_another(self, call: Call[State]) -> bool:
        """Wait for that; false when it is ``call``'s turn to lead."""
        with self._turn:
            self._waiting.append(call)
            self._arrival.notify()
            try:
                self._turn.wait_for(lambda: call.is_settled or not self._is_led)
            except BaseException:
                self._withdraw(call)
                raise
            if not call.is_settled:
                self._is_led = True
            return call.is_settled

    def _lead(self, call: Call[State]) -> None:
        group = [call]
        try:
            self._gather()
            with self._exclusive(call.deadline):
                group = self._taken()
                self._carry_out(group)
        except BaseException as error:
            for one in group:
                one.fail(error)
            if not isinstance(error, Exception):
                raise
        finally:
            self._hand_over(call, group)

    def _gather(self) -> None:
        """Wait for as many as were here when the last write ended: alone, not at all."""
        with self._turn:
            self._arrival.wait_for(lambda: len(self._waiting) >= self._crowd, GATHERING)

    def _taken(self) -> list[Call[State]]:
        """Only now, since more have come while the lock was waited for."""
        with self._turn:
            group, self._waiting = self._waiting, []
            return group

    def _hand_over(self, call: Call[State], group: Sequence[Call[State]]) -> None:
        with self._turn:
            self._withdraw(call)
            for one in group:
                one.is_settled = True
            self._is_led = False
            self._crowd = len(group) + len(self._waiting)
            self._turn.notify_all()

    def _withdraw(self, call: Call[State]) -> None:
        if call in self._waiting:
            self._waiting.remove(call)


def _for_one_caller(error: BaseException) -> SessionStoreError:
    """An error of its own for each: threads that raise one object mix their tracebacks in it."""
    if isinstance(error, (StoreUnavailableError, CorruptStoreError)):
        own: SessionStoreError = type(error)(*error.args)
    else:
        own = OutcomeUnknownError(
            f"the save broke off ({type(error).__name__}); load the session to see what is stored"
        )
    own.__cause__ = error
    return own
