"""What the scenes share: the screen, the store's place, the plan, and what was acknowledged."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from session_store.demo.checks import Acknowledged
from session_store.demo.child import Acknowledgement, Writer
from session_store.demo.conversations import Conversation
from session_store.demo.screen import Screen
from session_store.demo.script import Step, steps
from session_store.demo.writer import Job
from session_store.service import PersistentSessionService

PREFIX: Final = "session-store-demo-"
"""Of the temporary directories that the demo makes, and removes."""


@dataclass
class Stage:
    """``ledger`` grows with each acknowledgement; ``seconds`` were spent in the writers' calls."""

    screen: Screen
    storage: str
    directory: Path
    conversations: list[Conversation]
    ledger: list[Acknowledged] = field(default_factory=list)
    seconds: float = 0

    @cached_property
    def plan(self) -> list[Step]:
        return list(steps(self.conversations))

    @property
    def turns(self) -> int:
        """How many turns all conversations have."""
        return turns_in(self.plan)

    @property
    def acknowledged_turns(self) -> int:
        return turns_in(done.step for done in self.ledger)

    @property
    def rate(self) -> float:
        """Acknowledged turns a second, the other calls between them included."""
        return self.acknowledged_turns / max(self.seconds, 1e-9)

    def job(self) -> Job:
        """To go on after the last acknowledged step."""
        return Job(
            self.storage, str(self.directory), len(self.conversations), first=len(self.ledger)
        )

    def write(self, writer: Writer, until: int) -> None:
        """Let ``writer`` carry out the plan up to step ``until``, under a progress bar."""
        times = []
        with self.screen.progress(self.turns, self.acknowledged_turns) as advance:
            while len(self.ledger) < until:
                self.acknowledge(writer.call(), advance)
                times.append(time.perf_counter())
        self.seconds += times[-1] - times[0]

    def acknowledge(
        self, answer: Acknowledgement, advance: Callable[[], None] = lambda: None
    ) -> None:
        step = self.plan[len(self.ledger)]
        self.ledger.append(Acknowledged(step, answer))
        if step.turn:
            advance()

    def open(self, **options: Any) -> PersistentSessionService:
        """The store, in this process, without a cleaner: the scenes clean up themselves."""
        return PersistentSessionService(
            storage_type=self.storage,
            storage_path=self.directory,
            cleanup_interval=None,
            **options,
        )


def turns_in(plan: Iterable[Step]) -> int:
    return sum(step.turn is not None for step in plan)
