"""The first scenes: a writer is killed, nothing is lost, and another one goes on."""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from session_store.demo import checks
from session_store.demo.child import Writer
from session_store.demo.script import AT_ONCE
from session_store.demo.stage import PREFIX, Stage
from session_store.presentation.counting import counted

KILL_AT: Final = 0.6
"""Share of the turns after which the writer is killed."""

KILL_AFTER: Final = 0.0003
"""Seconds between the last request and the kill: most often the call is under way."""

BUFFERED_CALLS: Final = 40


def crash(stage: Stage) -> None:
    screen = stage.screen
    screen.step(
        "A program writes the conversations, turn by turn",
        f"Up to {AT_ONCE} conversations at a time; append() returns when a turn is on disk.",
    )
    with Writer(stage.job()) as writer:
        stage.write(writer, _kill_point(stage))
        screen.proved(f"{stage.acknowledged_turns:,} turns, {stage.rate:,.0f} a second")
        screen.step(
            "The program is killed in mid-conversation",
            "SIGKILL in the middle of its work: no warning, no chance to save anything.",
        )
        _kill(stage, writer)
    screen.proved(
        f"killed after {stage.acknowledged_turns:,} acknowledged turns, "
        f"with {counted(_unfinished(stage), 'conversation')} unfinished"
    )


def recovery(stage: Stage) -> None:
    screen = stage.screen
    screen.step(
        "The store is opened again: is anything lost?",
        "Every acknowledged turn must be there, in its place and word for word.",
    )
    with stage.open() as service:
        found = checks.survived(service, stage.ledger)
    screen.proved(f"{found.turns:,} acknowledged turns, {found.turns:,} found, 0 lost")
    screen.proved(
        f"{counted(found.conversations, 'conversation')}, each numbered 1, 2, 3... without a gap"
    )
    if found.surplus:
        screen.say("One more is there: the kill came between its saving and its acknowledgement.")


def resumption(stage: Stage) -> None:
    screen = stage.screen
    screen.step(
        "A second program goes on where the first one was killed",
        "It repeats the call that nobody acknowledged. Each turn has an id, so none counts twice.",
    )
    with Writer(stage.job()) as writer:
        stage.write(writer, len(stage.plan))
        writer.stop()
    with stage.open() as service:
        turns = checks.complete(service, stage.conversations)
    checks.equal("turns in the store", turns, stage.turns)
    screen.proved(
        f"{counted(len(stage.conversations), 'conversation')}, {turns:,} turns, "
        "each exactly once and word for word"
    )


def buffered(stage: Stage) -> None:
    screen = stage.screen
    screen.step(
        "A program that saves later is asked to end",
        "auto_save=False keeps changes in memory. On SIGTERM the program leaves its with block, "
        "and that saves them.",
    )
    with TemporaryDirectory(prefix=PREFIX) as directory:
        found = _hold_and_stop(replace(stage, directory=Path(directory), ledger=[]))
    screen.proved(
        f"{found.turns} turns in memory, none in the store; SIGTERM; "
        f"{found.turns} in the store, 0 lost"
    )


def _hold_and_stop(stage: Stage) -> checks.Survival:
    """What is in the store after a writer that held everything in memory was asked to end."""
    with Writer(replace(stage.job(), auto_save=False)) as writer:
        for _ in stage.plan[:BUFFERED_CALLS]:
            stage.acknowledge(writer.call())
        with stage.open() as service:
            checks.equal("sessions saved too early", service.get_session_count(), 0)
        writer.stop()
    with stage.open() as service:
        return checks.survived(service, stage.ledger)


def _kill(stage: Stage, writer: Writer) -> None:
    """Kill it in its next call, and count what it still had acknowledged."""
    writer.ask()
    time.sleep(KILL_AFTER)
    writer.kill()
    while answer := writer.acknowledged():
        stage.acknowledge(answer)


def _kill_point(stage: Stage) -> int:
    """After how many steps the wanted share of the turns is written."""
    written = accumulate(step.turn is not None for step in stage.plan)
    return next(n for n, turns in enumerate(written, 1) if turns >= KILL_AT * stage.turns)


def _unfinished(stage: Stage) -> int:
    begun = {done.step.conversation.session_id for done in stage.ledger}
    ahead = {step.conversation.session_id for step in stage.plan[len(stage.ledger) :]}
    return len(begun & ahead)
