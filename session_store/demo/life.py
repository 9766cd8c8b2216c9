"""The later scenes: a conversation takes another way, and what nobody uses goes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from session_store.clock import utc_now
from session_store.core.expiration import DEFAULT_EXPIRATION_HOURS
from session_store.demo import checks
from session_store.demo.conversations import Conversation
from session_store.demo.errors import DemoError
from session_store.demo.script import checkpoint_id, half
from session_store.demo.stage import Stage
from session_store.errors import SessionNotFoundError
from session_store.presentation.counting import counted
from session_store.service import SessionService
from session_store.session import SessionHead

COME_BACK = timedelta(days=6)
LOOK_AGAIN = timedelta(days=8)


class MovableClock:
    """The time of day, ``ahead`` of it."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return utc_now() + self.ahead


def another_way(stage: Stage) -> None:
    """The first conversation, which paused in its middle, and is paused now."""
    talk = stage.conversations[0]
    screen = stage.screen
    screen.step(
        "One conversation takes another way",
        "It was paused, which took a checkpoint. fork_session() copies it up to there, "
        "restore_checkpoint() goes back there.",
    )
    screen.say(f'"{talk.title}"')
    for turn in talk.turns[:3]:
        screen.quote(turn.role, turn.text)
    with stage.open() as service:
        kept = _fork(service, talk)
    screen.proved(
        f"a fork with the first {kept} of its {len(talk.turns)} turns; the original keeps them all"
    )
    screen.proved(f"one turn more in the fork, then restored: {kept} turns again")


def expiration(stage: Stage) -> None:
    screen = stage.screen
    screen.step(
        f"Time passes: what nobody uses for {DEFAULT_EXPIRATION_HOURS:.0f} hours expires",
        "The demo moves the service's clock: after six days three of four conversations are "
        "used again, and two days later we look.",
    )
    clock = MovableClock()
    with stage.open(clock=clock) as service:
        idle, used = _idle_and_used(service)
        clock.ahead = COME_BACK
        for head in used:
            service.touch_session(head.session_id, user_id=head.user_id)
        clock.ahead = LOOK_AGAIN
        _check_absent(service, idle, len(used))
        sessions = f"{len(idle)} of {len(idle + used)} sessions"
        screen.proved(f"expired, and absent at once: {sessions}, the fork included")
        _clean_up(service, len(idle), len(used))
    screen.proved(f"the cleanup removed {counted(len(idle), 'session')} and left {len(used)}")


def _fork(service: SessionService, talk: Conversation) -> int:
    """Fork, add a turn, rewind; how many turns the fork has."""
    checkpoint = checkpoint_id(talk)
    expected = talk.turns[: half(talk)]
    fork = service.fork_session(talk.session_id, checkpoint_id=checkpoint, user_id=talk.user_id)
    checks.check_turns(fork, expected)
    service.append(fork.session_id, {"role": "user", "text": "And what if not?"})
    longer = service.get_session(fork.session_id)
    checks.equal("turns in the fork", len(longer.messages), len(expected) + 1)
    service.restore_checkpoint(fork.session_id, checkpoint, rewind=True)
    checks.check_turns(service.get_session(fork.session_id), expected)
    checks.check_turns(service.get_session(talk.session_id), talk.turns)
    return len(expected)


def _idle_and_used(service: SessionService) -> tuple[list[SessionHead], list[SessionHead]]:
    """Every fourth session, and the others."""
    heads = [head for page in service.pages(order_by="created_at") for head in page.sessions]
    idle = heads[1::4]
    return idle, [head for head in heads if head not in idle]


def _clean_up(service: SessionService, idle: int, used: int) -> None:
    stats = service.get_storage_stats()
    checks.equal("expired sessions that wait", stats["expired_sessions"], idle)
    checks.equal("removed sessions", service.cleanup_expired_sessions(), idle)
    checks.equal("sessions left", service.get_storage_stats()["total_sessions"], used)


def _check_absent(service: SessionService, idle: Iterable[SessionHead], left: int) -> None:
    checks.equal("live sessions", service.get_session_count(), left)
    for head in idle:
        try:
            service.get_session(head.session_id, user_id=head.user_id)
        except SessionNotFoundError:
            continue
        raise DemoError(f"session {head.session_id} is expired and can still be read")
