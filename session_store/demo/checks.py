"""What the demo proves, by reading the store. Each check raises ``DemoError`` when it fails."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from session_store.demo.child import Acknowledgement
from session_store.demo.conversations import Conversation, Turn
from session_store.demo.errors import DemoError
from session_store.demo.script import Step, last_status
from session_store.errors import SessionNotFoundError
from session_store.service import SessionService
from session_store.session import MESSAGE, Entry, Session


class Acknowledged(NamedTuple):
    """A step that a writer carried out, and what it said about it."""

    step: Step
    answer: Acknowledgement


class Survival(NamedTuple):
    """What was found after a crash; ``surplus`` turns were stored but not acknowledged."""

    conversations: int
    turns: int
    surplus: int


def survived(service: SessionService, ledger: Sequence[Acknowledged]) -> Survival:
    """Every acknowledged turn is there, under the same ``seq`` and with the same content."""
    talks = {done.step.conversation.session_id: done.step.conversation for done in ledger}
    sessions = {name: session for name, talk in talks.items() if (session := _read(service, talk))}
    stored = {entry.entry_id: entry for one in sessions.values() for entry in one.entries}
    kept = [done for done in ledger if _is_kept(done, stored)]
    turns = sum(done.step.turn is not None for done in ledger)
    _check_nothing_lost(ledger, kept, turns)
    surplus = sum(entry.kind == MESSAGE for entry in stored.values()) - turns
    if surplus not in (0, 1):
        raise DemoError(f"{surplus:,} turns more than were acknowledged; at most 1 was under way")
    return Survival(len(sessions), turns, surplus)


def complete(service: SessionService, conversations: Iterable[Conversation]) -> int:
    """Every conversation is there once, word for word, in order; how many turns that is."""
    turns = 0
    for number, talk in enumerate(conversations):
        session = service.get_session(talk.session_id, user_id=talk.user_id)
        check_turns(session, talk.turns)
        equal("turns noted in the state", session.state["turns"], len(talk.turns))
        equal("the status of a conversation", session.status, last_status(number))
        turns += len(session.messages)
    return turns


def check_turns(session: Session, turns: Sequence[Turn]) -> None:
    """The messages of ``session`` are these turns, no more and no less."""
    stored = [(entry.entry_id, entry.payload) for entry in session.messages]
    if stored != [(turn.entry_id, turn.payload) for turn in turns]:
        raise DemoError(
            f"session {session.session_id} holds {len(stored)} turns that are not the "
            f"{len(turns)} expected ones"
        )


def equal(what: str, found: object, expected: object) -> None:
    if found != expected:
        raise DemoError(f"{what}: {found}, and should be {expected}")


def _read(service: SessionService, talk: Conversation) -> Session | None:
    try:
        return service.get_session(talk.session_id, user_id=talk.user_id)
    except SessionNotFoundError:
        return None


def _is_kept(done: Acknowledged, stored: dict[str, Entry]) -> bool:
    if done.answer.entry_id is None:
        return True
    entry = stored.get(done.answer.entry_id)
    if entry is None or entry.seq != done.answer.seq:
        return False
    return done.step.turn is None or entry.payload == done.step.turn.payload


def _check_nothing_lost(
    ledger: Sequence[Acknowledged], kept: Sequence[Acknowledged], turns: int
) -> None:
    if len(kept) < len(ledger):
        found = sum(done.step.turn is not None for done in kept)
        raise DemoError(
            f"{turns:,} acknowledged turns, {found:,} found, {turns - found:,} lost "
            f"({len(ledger) - len(kept):,} entries in all)"
        )
