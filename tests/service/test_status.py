"""How a session starts, pauses, resumes and ends."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from session_store import IllegalTransitionError, SessionService, Status
from session_store.session import TRANSITIONS, Applied
from tests.service.support import WRITES, Store

REACHED_BY: dict[Status, Callable[[SessionService, str], object]] = {
    Status.CREATED: lambda service, id_: None,
    Status.RUNNING: lambda service, id_: service.append(id_, "hello"),
    Status.PAUSED: lambda service, id_: service.pause_session(id_),
    Status.COMPLETED: lambda service, id_: service.complete_session(id_),
    Status.FAILED: lambda service, id_: service.fail_session(id_),
}

LEADS_TO: dict[Status, Callable[[SessionService, str], Applied]] = {
    Status.RUNNING: lambda service, id_: service.resume_session(id_),
    Status.PAUSED: lambda service, id_: service.pause_session(id_),
    Status.COMPLETED: lambda service, id_: service.complete_session(id_),
    Status.FAILED: lambda service, id_: service.fail_session(id_, reason="lost"),
}


def session_in(service: SessionService, status: Status) -> str:
    session_id = service.create_session(user_id="ada").session_id
    REACHED_BY[status](service, session_id)
    assert service.get_session(session_id).status is status
    return session_id


@pytest.mark.parametrize("current", REACHED_BY)
def test_a_status_follows_where_that_makes_sense(service: SessionService, current: Status) -> None:
    for wanted in TRANSITIONS[current]:
        session_id = session_in(service, current)
        assert LEADS_TO[wanted](service, session_id).status is wanted
        assert service.get_session(session_id).status is wanted


@pytest.mark.parametrize("current", REACHED_BY)
def test_any_other_status_is_refused(service: SessionService, current: Status) -> None:
    session_id = session_in(service, current)
    before = service.get_session(session_id)
    for wanted in LEADS_TO.keys() - TRANSITIONS[current]:
        with pytest.raises(IllegalTransitionError, match=f"is {current} and can't become {wanted}"):
            LEADS_TO[wanted](service, session_id)
    assert service.get_session(session_id) == before


def test_an_illegal_step_names_the_legal_ones(memory: SessionService) -> None:
    running = session_in(memory, Status.RUNNING)
    with pytest.raises(IllegalTransitionError, match=r"only: completed, failed, paused$"):
        memory.resume_session(running)
    completed = session_in(memory, Status.COMPLETED)
    with pytest.raises(IllegalTransitionError, match="restored from a checkpoint or forked"):
        memory.resume_session(completed)


def test_the_first_activity_starts_a_session(service: SessionService) -> None:
    for name in ("append", "add_artifact", "update_state", "update_agent_state"):
        session_id = session_in(service, Status.CREATED)
        WRITES[name](service, session_id)
        assert service.get_session(session_id).status is Status.RUNNING, name


def test_looking_after_a_session_does_not_start_it(service: SessionService) -> None:
    for name in ("touch_session", "create_checkpoint", "update_session_metadata"):
        session_id = session_in(service, Status.CREATED)
        WRITES[name](service, session_id)
        assert service.get_session(session_id).status is Status.CREATED, name
    assert service.update_state(session_id, {}).status is Status.CREATED


def test_activity_does_not_wake_a_ready_session(service: SessionService) -> None:
    paused = session_in(service, Status.PAUSED)
    assert service.append(paused, "still there?").status is Status.PAUSED


def test_completion_is_dated_until_the_session_is_restored(store: Store) -> None:
    service = store.open()
    service.create_session(user_id="ada", session_id="s1")
    service.create_checkpoint("s1", checkpoint_id="c1")
    store.clock.advance(hours=1)
    service.complete_session("s1")
    completed_at = store.clock.now
    store.clock.advance(hours=1)
    service.touch_session("s1")
    assert service.get_session("s1").completed_at == completed_at
    service.restore_checkpoint("s1", "c1")
    assert service.get_session("s1").completed_at is None


def test_pausing_takes_a_checkpoint_in_the_same_write(service: SessionService) -> None:
    service.create_session(user_id="ada", session_id="s1", state={"step": 1})
    applied = service.pause_session("s1", checkpoint_id="c1", label="lunch")
    assert (applied.version, applied.status) == (2, Status.PAUSED)
    assert applied.entry.kind == "checkpoint"
    assert applied.entry.entry_id == "c1"
    assert applied.entry.payload["status"] == "paused"
    assert applied.entry.payload["label"] == "lunch"
    assert service.get_session("s1").checkpoints == applied.entries


def test_the_reason_of_a_failure_is_kept_as_an_event(service: SessionService) -> None:
    with_reason = service.fail_session(session_in(service, Status.RUNNING), reason="out of tokens")
    assert with_reason.entry.kind == "event"
    assert with_reason.entry.payload == {"type": "failed", "reason": "out of tokens"}
    assert service.fail_session(session_in(service, Status.RUNNING)).entries == ()


def test_active_sessions_are_those_that_run(service: SessionService) -> None:
    by_status = {status: session_in(service, status) for status in Status}
    assert [head.session_id for head in service.get_active_sessions()] == [
        by_status[Status.RUNNING]
    ]
    assert service.get_storage_stats()["active_sessions"] == 1
