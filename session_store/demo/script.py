"""What the writer does: one list of small calls of the service, the same in every run.

Each call can be repeated after a crash, when nobody knows whether the last one was carried out:
entries bring their own ids, documents are set to values, and a status that is there already is
what was wanted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Final, NamedTuple, TypeAlias

from session_store.demo.conversations import Conversation, Turn
from session_store.errors import IllegalTransitionError, SessionExistsError
from session_store.service import SessionService
from session_store.session import Applied, Entry, Session, Status

AT_ONCE: Final = 8
"""How many conversations are open at a time."""

NOTE_EVERY: Final = 4
"""After how many turns the state is updated."""

DONE: Final = Status.COMPLETED
ENDINGS: Final = (
    *(Status.PAUSED, DONE, DONE, DONE, Status.RUNNING),
    *(DONE, DONE, Status.PAUSED, DONE, Status.FAILED),
)
"""How ten conversations end; then again from the first."""

Call: TypeAlias = Callable[[SessionService], Applied | Session]


class Step(NamedTuple):
    """One call of the service, and the turn that it writes, if it writes one."""

    conversation: Conversation
    call: Call
    turn: Turn | None = None

    def carry_out(self, service: SessionService) -> Entry | None:
        """The entry that the call stored, now or when it was carried out before."""
        try:
            answer = self.call(service)
        except SessionExistsError:
            return None
        except IllegalTransitionError as error:
            if error.current is not error.wanted:
                raise
            return None
        return answer.entries[0] if answer.entries else None


def steps(conversations: Iterable[Conversation]) -> Iterator[Step]:
    """All calls in their order: ``AT_ONCE`` conversations take turns, one call each."""
    waiting = (iter(script(talk, number)) for number, talk in enumerate(conversations))
    talking = deque(islice(waiting, AT_ONCE))
    while talking:
        one = talking.popleft()
        step = next(one, None)
        if step:
            yield step
        talking.extend([one] if step else islice(waiting, 1))


def script(conversation: Conversation, number: int) -> list[Step]:
    """One conversation from its creation to its end; ``number`` decides what happens in it."""
    parts = [_created(conversation)]
    last = len(conversation.turns)
    for count, turn in enumerate(conversation.turns, 1):
        parts.append(_said(conversation, turn))
        if count % NOTE_EVERY == 0 or count in (half(conversation), last):
            parts.append(_noted(conversation, turn, count))
        if count == half(conversation):
            parts += _interlude(conversation, number, count)
    return [*parts, _summarised(conversation), *_ended(conversation, number)]


def last_status(number: int) -> Status:
    """How conversation ``number`` stands in the end."""
    return ENDINGS[number % len(ENDINGS)]


def half(conversation: Conversation) -> int:
    """After how many turns something happens between two."""
    return len(conversation.turns) // 2


def checkpoint_id(conversation: Conversation) -> str:
    """Of the pause after half of the turns, which conversations 0, 3, 6… make."""
    return f"{conversation.session_id}-pause"


def _created(talk: Conversation) -> Step:
    labels = {"title": talk.title, "source": "chitchat-dataset"}
    return Step(
        talk,
        lambda service: service.create_session(
            session_id=talk.session_id, user_id=talk.user_id, metadata=labels
        ),
    )


def _said(talk: Conversation, turn: Turn) -> Step:
    return Step(
        talk,
        lambda service: service.append(
            talk.session_id, turn.payload, entry_id=turn.entry_id, user_id=talk.user_id
        ),
        turn,
    )


def _noted(talk: Conversation, turn: Turn, count: int) -> Step:
    note = {"turns": count, "last_speaker": turn.role}
    return Step(
        talk, lambda service: service.update_state(talk.session_id, note, user_id=talk.user_id)
    )


def _interlude(talk: Conversation, number: int, count: int) -> list[Step]:
    heard = {"words_heard": _words(talk.turns[:count]), "turns_heard": count}
    listened = Step(
        talk,
        lambda service: service.update_agent_state(
            talk.session_id, "companion", heard, user_id=talk.user_id
        ),
    )
    return [listened, *(_rested(talk) if number % 3 == 0 else ())]


def _rested(talk: Conversation) -> tuple[Step, Step]:
    """A pause, and the end of it when the other conversations have had their turn."""
    return (
        _paused(talk, checkpoint_id(talk)),
        Step(talk, lambda service: service.resume_session(talk.session_id, user_id=talk.user_id)),
    )


def _paused(talk: Conversation, checkpoint: str) -> Step:
    return Step(
        talk,
        lambda service: service.pause_session(
            talk.session_id, checkpoint_id=checkpoint, user_id=talk.user_id
        ),
    )


def _summarised(talk: Conversation) -> Step:
    summary = {"turns": len(talk.turns), "words": _words(talk.turns)}
    return Step(
        talk,
        lambda service: service.add_artifact(
            talk.session_id,
            "summary",
            summary,
            entry_id=f"{talk.session_id}-summary",
            user_id=talk.user_id,
        ),
    )


def _ended(talk: Conversation, number: int) -> tuple[Step, ...]:
    session_id, user_id = talk.session_id, talk.user_id
    match last_status(number):
        case Status.PAUSED:
            return (_paused(talk, f"{session_id}-end"),)
        case Status.COMPLETED:
            return (Step(talk, lambda at: at.complete_session(session_id, user_id=user_id)),)
        case Status.FAILED:
            reason = "the other side left"
            return (
                Step(talk, lambda at: at.fail_session(session_id, reason=reason, user_id=user_id)),
            )
        case _:
            return ()


def _words(turns: Iterable[Turn]) -> int:
    return sum(len(turn.text.split()) for turn in turns)
