"""Checkpoints: what they hold, going back to one, and going on from one beside the original."""

from __future__ import annotations

import json

import pytest

from session_store import (
    CheckpointNotFoundError,
    ConflictError,
    InvalidValueError,
    NewEntry,
    SessionExistsError,
    SessionNotFoundError,
    SessionService,
    StaleSessionError,
    Status,
)
from tests.service.support import Store, payloads, seqs


@pytest.fixture
def service(service: SessionService) -> SessionService:
    """``s1`` ran, was paused at checkpoint ``c1`` (seq 3), and went on."""
    service.create_session(user_id="ada", session_id="s1", metadata={"title": "talk"})
    service.append("s1", ["one", "two"])
    service.update_state("s1", {"step": 1})
    service.update_agent_state("s1", "coach", {"asked": 1})
    service.pause_session("s1", checkpoint_id="c1")
    service.resume_session("s1")
    service.append("s1", ["three", "four"])
    service.update_state("s1", {"step": 2, "late": True})
    service.update_agent_state("s1", "judge", {"score": 3})
    service.update_session_metadata("s1", {"title": "long talk"})
    return service


def test_a_checkpoint_holds_status_documents_and_its_seq(service: SessionService) -> None:
    (checkpoint,) = service.get_session("s1", kind="checkpoint").entries
    assert checkpoint.seq == 3
    assert checkpoint.payload == {
        "status": "paused",
        "seq": 3,
        "label": None,
        "state": {"step": 1},
        "agent_states": {"coach": {"asked": 1}},
        "metadata": {"title": "talk"},
    }


def test_checkpoints_do_not_hold_older_ones(memory: SessionService) -> None:
    memory.create_session(user_id="ada", session_id="s1", state={"text": "x" * 100})
    sizes = {
        len(json.dumps(memory.create_checkpoint("s1").entry.payload | {"seq": 0}))
        for _ in range(50)
    }
    assert len(sizes) == 1


def test_restoring_brings_back_status_and_documents_and_keeps_the_history(
    service: SessionService,
) -> None:
    before = service.get_session("s1")
    applied = service.restore_checkpoint("s1", "c1")
    session = service.get_session("s1")
    assert session.status is applied.status is Status.PAUSED
    assert session.state == {"step": 1}
    assert session.agent_states == {"coach": {"asked": 1}}
    assert session.metadata == {"title": "talk"}
    assert session.entries == before.entries
    assert session.version == applied.version == before.version + 1


def test_rewinding_drops_the_history_after_the_checkpoint(service: SessionService) -> None:
    before = service.get_session("s1")
    service.restore_checkpoint("s1", "c1", rewind=True)
    session = service.get_session("s1")
    assert session.entries == before.entries[:3]
    assert (session.last_seq, session.version) == (3, before.version + 1)
    service.resume_session("s1")
    assert service.append("s1", "another third").entry.seq == 4
    assert seqs(service.get_session("s1")) == [1, 2, 3, 4]


def test_an_entry_that_was_rewound_can_be_sent_again(service: SessionService) -> None:
    service.append("s1", "late", entry_id="late")
    service.restore_checkpoint("s1", "c1", rewind=True)
    assert service.append("s1", "otherwise", entry_id="late").entry.seq == 4


def test_a_completed_session_is_restored_too(service: SessionService) -> None:
    service.complete_session("s1")
    assert service.restore_checkpoint("s1", "c1").status is Status.PAUSED
    assert service.resume_session("s1").status is Status.RUNNING


def test_restoring_an_unknown_checkpoint_changes_nothing(service: SessionService) -> None:
    before = service.get_session("s1")
    message = service.append("s1", "no checkpoint", entry_id="e9").entry
    for wrong in ("c2", message.entry_id):
        with pytest.raises(CheckpointNotFoundError, match="shows those it has"):
            service.restore_checkpoint("s1", wrong)
        with pytest.raises(CheckpointNotFoundError):
            service.fork_session("s1", checkpoint_id=wrong)
    assert service.get_session("s1").entries == (*before.entries, message)
    assert service.get_session_count() == 1


def test_restoring_takes_the_expected_version_only(service: SessionService) -> None:
    before = service.get_session("s1")
    with pytest.raises(StaleSessionError):
        service.restore_checkpoint("s1", "c1", rewind=True, expected_version=before.version - 1)
    assert service.get_session("s1") == before
    service.restore_checkpoint("s1", "c1", rewind=True, expected_version=before.version)
    assert service.get_session("s1").last_seq == 3


def test_a_checkpoint_asked_for_twice_is_taken_once(store: Store, service: SessionService) -> None:
    first = service.create_checkpoint("s1", checkpoint_id="c2", label="mid")
    store.clock.advance(minutes=1)
    assert service.create_checkpoint("s1", checkpoint_id="c2", label="mid") == first
    assert len(service.get_session("s1", kind="checkpoint").entries) == 2


def test_a_checkpoint_cannot_take_the_id_of_an_entry(service: SessionService) -> None:
    service.append("s1", "taken", entry_id="e9")
    with pytest.raises(ConflictError):
        service.create_checkpoint("s1", checkpoint_id="e9")


@pytest.mark.parametrize("label", [5, "x" * 2000, "\ud800"], ids=["number", "long", "surrogate"])
def test_a_label_is_a_short_text(service: SessionService, label: str) -> None:
    before = service.get_session("s1")
    for call in (service.create_checkpoint, service.pause_session):
        with pytest.raises(InvalidValueError, match=r"^label: "):
            call("s1", label=label)
    assert service.get_session("s1") == before


def test_a_fork_is_a_copy_that_goes_its_own_way(store: Store, service: SessionService) -> None:
    source = service.get_session("s1")
    store.clock.advance(minutes=5)
    fork = service.fork_session("s1", new_session_id="s2")
    assert fork == service.get_session("s2")
    assert fork.key == ("default", "ada", "s2")
    assert (fork.version, fork.last_seq, fork.status) == (1, source.last_seq, source.status)
    assert (fork.created_at, fork.updated_at) == (store.clock.now, store.clock.now)
    assert (fork.state, fork.agent_states, fork.metadata) == (
        source.state,
        source.agent_states,
        source.metadata,
    )
    assert [(e.entry_id, e.kind, e.payload, e.created_at) for e in fork.entries] == [
        (e.entry_id, e.kind, e.payload, e.created_at) for e in source.entries
    ]
    service.append("s2", "only here")
    service.update_state("s2", {"step": 99})
    assert service.get_session("s1") == source


def test_a_fork_from_a_checkpoint_ends_there(service: SessionService) -> None:
    source = service.get_session("s1")
    fork = service.fork_session("s1", checkpoint_id="c1")
    assert fork.session_id != "s1"
    assert fork.status is Status.PAUSED
    assert fork.state == {"step": 1}
    assert fork.agent_states == {"coach": {"asked": 1}}
    assert fork.metadata == {"title": "talk"}
    assert payloads(fork)[:2] == ["one", "two"]
    assert [entry.entry_id for entry in fork.checkpoints] == ["c1"]
    assert seqs(fork) == [1, 2, 3]
    assert service.get_session("s1") == source
    assert service.restore_checkpoint(fork.session_id, "c1").status is Status.PAUSED


def test_a_fork_never_replaces_a_session(service: SessionService) -> None:
    service.create_session(user_id="ada", session_id="s2", state={"mine": True})
    before = service.get_session("s2")
    for taken in ("s2", "s1"):
        with pytest.raises(SessionExistsError):
            service.fork_session("s1", new_session_id=taken)
    with pytest.raises(InvalidValueError, match=r"^session_id: "):
        service.fork_session("s1", new_session_id="")
    assert service.get_session("s2") == before


def test_a_fork_belongs_to_the_user_of_its_source(service: SessionService) -> None:
    with pytest.raises(SessionNotFoundError):
        service.fork_session("s1", user_id="bob")
    service.create_session(user_id="bob", session_id="s1")
    fork = service.fork_session("s1", user_id="bob")
    assert fork.user_id == "bob"
    assert fork.entries == ()


def test_a_checkpoint_is_not_made_by_hand(service: SessionService) -> None:
    before = service.get_session("s1")
    with pytest.raises(InvalidValueError, match=r"entries\[0\].kind: is taken"):
        service.append("s1", NewEntry(payload={"mine": 1}, kind="checkpoint", entry_id="odd"))
    assert service.get_session("s1") == before
