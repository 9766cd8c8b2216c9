"""Promises of ``apply`` for checkpoints, restoring and rewinding."""

# ruff: noqa: PLR2004, S101 - tests are made of asserts and figures

from __future__ import annotations

import pytest

from session_store.errors import (
    ConflictError,
    IllegalTransitionError,
    InvalidValueError,
    StaleSessionError,
)
from session_store.repository import SessionRepository
from session_store.session import REMOVED, Documents, NewCheckpoint, Restored, Status
from session_store.testing.given import (
    after,
    at,
    change,
    create,
    exact,
    ids,
    load,
    message,
    messages,
    refused,
    seqs,
)

CHECKPOINT = NewCheckpoint(checkpoint_id="c", label="before the test")
EARLIER = Documents(
    state={"n": 1, "gone since": 1},
    agent_states={"planner": {"step": 1}},
    metadata={"title": "Earlier"},
)


class Checkpoints:
    def test_a_checkpoint_holds_status_documents_label_and_seq(
        self, repository: SessionRepository
    ) -> None:
        create(repository, history="ab", status=Status.RUNNING, **dict(EARLIER))
        answer = change(repository, checkpoint=CHECKPOINT)
        (entry,) = answer.entries
        assert (entry.seq, entry.kind, entry.entry_id) == (3, "checkpoint", "c")
        assert entry.payload == {
            "status": "running",
            "seq": 3,
            "label": "before the test",
            **dict(EARLIER),
        }
        assert load(repository).entries[2] == entry

    def test_a_checkpoint_records_what_its_own_change_leaves(
        self, repository: SessionRepository
    ) -> None:
        create(repository, state={"n": 1})
        answer = change(
            repository,
            state={"n": 2},
            agent_states={"planner": {"step": 2}},
            metadata={"title": "Now"},
            status=Status.PAUSED,
            entries=messages("a", "b"),
            checkpoint=CHECKPOINT,
        )
        assert (ids(answer), seqs(answer)) == (["a", "b", "c"], [1, 2, 3])
        assert answer.entries[2].payload == {
            "status": "paused",
            "seq": 3,
            "label": "before the test",
            "state": {"n": 2},
            "agent_states": {"planner": {"step": 2}},
            "metadata": {"title": "Now"},
        }

    def test_a_checkpoint_never_holds_older_ones(self, repository: SessionRepository) -> None:
        create(repository, state={"n": 1})
        sizes = [
            len(str(change(repository, checkpoint=NewCheckpoint(checkpoint_id=f"{n}")).entry))
            for n in range(5)
        ]
        assert sizes == [sizes[0]] * 5

    def test_a_checkpoint_may_have_no_label(self, repository: SessionRepository) -> None:
        create(repository)
        answer = change(repository, checkpoint=NewCheckpoint(checkpoint_id="c"))
        assert answer.entry.payload["label"] is None

    @pytest.mark.parametrize(
        "label", [1, ["x"], "x" * 1025, "\ud800"], ids=["1", "[]", "long", "?"]
    )
    def test_a_label_that_is_no_short_text_is_refused(
        self, repository: SessionRepository, label: str
    ) -> None:
        create(repository)
        with refused(repository, InvalidValueError):
            change(repository, checkpoint=NewCheckpoint(checkpoint_id="c", label=label))

    def test_a_repeated_checkpoint_answers_as_the_first_did(
        self, repository: SessionRepository
    ) -> None:
        create(repository)
        first = change(repository, moment=at(2), checkpoint=CHECKPOINT)
        change(repository, state={"n": 2})
        before = exact(load(repository))
        again = change(repository, moment=at(9), checkpoint=CHECKPOINT)
        assert (again.version, again.entries, again.updated_at) == (2, first.entries, after(2))
        assert exact(load(repository)) == before

    def test_a_repeated_pause_answers_and_is_no_second_transition(
        self, repository: SessionRepository
    ) -> None:
        create(repository, status=Status.RUNNING)
        first = change(repository, status=Status.PAUSED, checkpoint=CHECKPOINT)
        assert change(repository, status=Status.PAUSED, checkpoint=CHECKPOINT) == first

    def test_a_checkpoint_with_the_id_of_a_message_writes_nothing(
        self, repository: SessionRepository
    ) -> None:
        create(repository)
        change(repository, entries=messages("c"))
        with refused(repository, ConflictError):
            change(repository, checkpoint=CHECKPOINT)

    def test_a_message_with_the_id_of_a_checkpoint_writes_nothing(
        self, repository: SessionRepository
    ) -> None:
        create(repository)
        change(repository, checkpoint=CHECKPOINT)
        with refused(repository, ConflictError):
            change(repository, entries=messages("c"))

    def test_entries_known_and_a_checkpoint_new_stores_the_checkpoint(
        self, repository: SessionRepository
    ) -> None:
        create(repository)
        change(repository, entries=messages("a"))
        answer = change(repository, entries=messages("a"), checkpoint=CHECKPOINT)
        assert (ids(answer), seqs(answer)) == (["a", "c"], [1, 2])
        assert load(repository).last_seq == 2

    def test_restoring_replaces_status_and_documents_whole(
        self, repository: SessionRepository
    ) -> None:
        create(repository, history="ab", status=Status.PAUSED, state={"n": 2, "new since": 1})
        change(repository, restore=Restored(status=Status.RUNNING, documents=EARLIER))
        session = load(repository)
        assert session.status is Status.RUNNING
        assert exact(session.state) == exact(EARLIER.state)
        assert session.agent_states == EARLIER.agent_states
        assert session.metadata == EARLIER.metadata

    def test_restoring_keeps_history_times_and_identity(
        self, repository: SessionRepository
    ) -> None:
        create(repository, history="ab", expires_at=after(99))
        restored = Restored(status=Status.RUNNING, documents=EARLIER)
        answer = change(repository, moment=at(5), restore=restored)
        session = load(repository)
        assert (answer.version, session.version, session.updated_at) == (2, 2, after(5))
        assert (seqs(session), session.created_at) == ([1, 2], after(0))
        assert session.expires_at == after(99)

    def test_a_checkpoint_restores_what_it_recorded(self, repository: SessionRepository) -> None:
        create(repository, status=Status.RUNNING, **dict(EARLIER))
        payload = change(repository, checkpoint=CHECKPOINT).entry.payload
        change(repository, state={"n": REMOVED, "x": 1}, agent_states={"planner": {"step": 9}})
        change(repository, status=Status.COMPLETED, metadata={"title": REMOVED})
        documents = Documents(**{name: payload[name] for name in Documents.model_fields})
        change(repository, restore=Restored(status=payload["status"], documents=documents))
        session = load(repository)
        assert exact([session.state, session.agent_states, session.metadata]) == exact(
            [EARLIER.state, EARLIER.agent_states, EARLIER.metadata]
        )

    @pytest.mark.parametrize("status", list(Status))
    def test_restoring_sets_any_status_from_completed(
        self, repository: SessionRepository, status: Status
    ) -> None:
        create(repository, status=Status.COMPLETED, completed_at=after(0))
        change(repository, restore=Restored(status=status, documents=Documents()))
        session = load(repository)
        assert session.status is status
        assert (session.completed_at is None) == (status is not Status.COMPLETED)

    def test_restoring_a_completed_state_completes(self, repository: SessionRepository) -> None:
        create(repository, status=Status.RUNNING)
        restored = Restored(status=Status.COMPLETED, documents=Documents())
        change(repository, moment=at(4), restore=restored)
        assert load(repository).completed_at == after(4)

    def test_a_change_restores_then_patches_then_sets_the_status_then_records(
        self, repository: SessionRepository
    ) -> None:
        create(repository, history="abc", status=Status.COMPLETED, state={"now": 1})
        answer = change(
            repository,
            restore=Restored(status=Status.PAUSED, documents=EARLIER),
            rewind_to=1,
            state={"n": 5},
            status=Status.RUNNING,
            entries=messages("x"),
            checkpoint=CHECKPOINT,
        )
        session = load(repository)
        assert session.state == {"n": 5, "gone since": 1}
        assert (session.status, ids(session)) == (Status.RUNNING, ["e1", "x", "c"])
        assert answer.entries[1].payload["state"] == session.state
        assert (answer.entries[1].payload["status"], seqs(answer)) == ("running", [2, 3])

    def test_a_transition_is_judged_from_the_restored_status(
        self, repository: SessionRepository
    ) -> None:
        create(repository, status=Status.RUNNING)
        restored = Restored(status=Status.COMPLETED, documents=Documents())
        with refused(repository, IllegalTransitionError):
            change(repository, restore=restored, status=Status.PAUSED)

    def test_rewinding_drops_the_history_after_a_seq(self, repository: SessionRepository) -> None:
        create(repository, history="abcde", state={"n": 1})
        answer = change(repository, rewind_to=2)
        session = load(repository)
        assert (ids(session), session.last_seq, session.state) == (["e1", "e2"], 2, {"n": 1})
        assert (answer.version, session.version, answer.entries) == (2, 2, ())

    def test_after_a_rewind_seq_goes_on_from_the_new_end(
        self, repository: SessionRepository
    ) -> None:
        create(repository, history="abcde")
        assert seqs(change(repository, rewind_to=2, entries=messages("x"))) == [3]
        assert seqs(change(repository, entries=messages("y", "z"))) == [4, 5]
        assert [entry.payload for entry in load(repository).entries] == ["a", "b", "x", "y", "z"]

    def test_a_rewind_may_drop_all_or_nothing(self, repository: SessionRepository) -> None:
        create(repository, history="abc")
        change(repository, rewind_to=3)
        assert seqs(load(repository)) == [1, 2, 3]
        change(repository, rewind_to=0)
        assert (load(repository).entries, load(repository).last_seq) == ((), 0)
        assert seqs(change(repository, entries=messages("x"))) == [1]

    @pytest.mark.parametrize("seq", [-1, 4, 2**63, 1.0, True, "1"])
    def test_a_rewind_to_where_no_history_is_writes_nothing(
        self, repository: SessionRepository, seq: int
    ) -> None:
        create(repository, history="abc")
        with refused(repository, InvalidValueError) as raised:
            change(repository, rewind_to=seq, state={"a": 1}, entries=messages("x"))
        assert "rewind_to" in str(raised.value)

    def test_a_stale_rewind_writes_nothing(self, repository: SessionRepository) -> None:
        create(repository, history="abc")
        change(repository)
        with refused(repository, StaleSessionError):
            change(repository, rewind_to=1, expected_version=1)

    def test_a_rewind_spares_other_sessions(self, repository: SessionRepository) -> None:
        create(repository, history="abc")
        other = load(repository).key._replace(user_id="bob")
        create(repository, other, history="abc")
        change(repository, rewind_to=0)
        assert seqs(load(repository, other)) == [1, 2, 3]

    def test_an_entry_is_known_up_to_where_a_rewind_goes(
        self, repository: SessionRepository
    ) -> None:
        create(repository, history="abc")
        entries = (message("e1", "a"), message("e3", "c"), message("new"))
        answer = change(repository, rewind_to=2, entries=entries)
        assert (ids(answer), seqs(answer)) == (["e1", "e3", "new"], [1, 3, 4])
        assert ids(load(repository)) == ["e1", "e2", "e3", "new"]

    def test_a_repeated_rewind_with_an_entry_rewinds_once(
        self, repository: SessionRepository
    ) -> None:
        create(repository, history="abc")
        first = change(repository, rewind_to=1, entries=messages("x"))
        change(repository, entries=messages("y"))
        assert change(repository, rewind_to=1, entries=messages("x")) == first
        assert ids(load(repository)) == ["e1", "x", "y"]
