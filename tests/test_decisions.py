"""``decide`` against a model of a session that is written in plain objects, and its promises."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_store.core import codec
from session_store.core.decisions import Decision, SharedScope, decide, shared_scopes
from session_store.core.operations import (
    Apply,
    Delete,
    Moment,
    Operation,
    checked_apply,
    checked_create,
)
from session_store.core.records import EntryRecord, SessionRecord, to_session
from session_store.errors import (
    ConflictError,
    IllegalTransitionError,
    InvalidValueError,
    SessionNotFoundError,
    SessionStoreError,
    StaleSessionError,
)
from session_store.session import REMOVED, TRANSITIONS, Applied, Changes, Patch, Session, Status
from session_store.testing.given import (
    KEY,
    NOW,
    application,
    at,
    creation,
    exact,
    messages,
    new_session,
)
from tests.strategies import changes, patches

Document = dict[str, Any]


@dataclass
class Model:
    """One session and what it shares, told without records, JSON or versions of entries."""

    status: Status = Status.CREATED
    version: int = 1
    updated_at: datetime = NOW
    completed_at: datetime | None = None
    expires_at: datetime | None = None
    state: Document = field(default_factory=dict)
    agent_states: dict[str, Document] = field(default_factory=dict)
    metadata: Document = field(default_factory=dict)
    app_state: Document = field(default_factory=dict)
    user_state: Document = field(default_factory=dict)
    entries: list[tuple[str, str, Any]] = field(default_factory=list)

    def apply(self, changes: Changes, now: datetime) -> None:
        """Change it, or raise and leave it half changed."""
        if self.expires_at and self.expires_at <= now:
            raise SessionNotFoundError(KEY)
        if self._is_repeated(changes):
            return
        before = self.status
        self._restore(changes)
        for name in ("state", "metadata", "app_state", "user_state"):
            setattr(self, name, merged(getattr(self, name), getattr(changes, name)))
        for agent, patch in changes.agent_states.items():
            self.agent_states[agent] = merged(self.agent_states.get(agent, {}), patch)
        self._set_status(changes)
        if self.status != before:
            self.completed_at = now if self.status is Status.COMPLETED else None
        if changes.expires_at:
            self.expires_at = None if changes.expires_at is REMOVED else changes.expires_at
        self._append(changes)
        self.version, self.updated_at = self.version + 1, now

    def _is_repeated(self, changes: Changes) -> bool:
        stored = {name: (kind, payload) for name, kind, payload in self.entries}
        batch: dict[str, tuple[str, Any]] = {}
        for entry in changes.entries:
            content = batch.setdefault(str(entry.entry_id), (entry.kind, entry.payload))
            for known in (content, stored.get(str(entry.entry_id), content)):
                if exact(known) != exact((entry.kind, entry.payload)):
                    raise ConflictError(KEY, "")
        named = set(batch)
        if changes.checkpoint:
            name = changes.checkpoint.checkpoint_id
            if name in batch or stored.get(name, ("checkpoint",))[0] != "checkpoint":
                raise ConflictError(KEY, "")
            named.add(name)
        return bool(named) and named <= set(stored)

    def _restore(self, changes: Changes) -> None:
        if changes.restore:
            documents = copy.deepcopy(changes.restore.documents)
            self.status = changes.restore.status
            self.state, self.metadata = documents.state, documents.metadata
            self.agent_states = documents.agent_states
        if changes.rewind_to is not None:
            if changes.rewind_to not in range(len(self.entries) + 1):
                raise InvalidValueError("rewind_to", "")
            del self.entries[changes.rewind_to :]

    def _set_status(self, changes: Changes) -> None:
        if changes.status:
            if changes.status not in TRANSITIONS[self.status]:
                raise IllegalTransitionError(KEY, self.status, changes.status, "")
            self.status = changes.status
        elif self.status == "created" and (
            changes.entries or changes.state or changes.agent_states
        ):
            self.status = Status.RUNNING

    def _append(self, changes: Changes) -> None:
        for entry in changes.entries:
            if entry.entry_id not in self._ids():
                self.entries.append((str(entry.entry_id), entry.kind, entry.payload))
        if changes.checkpoint and changes.checkpoint.checkpoint_id not in self._ids():
            payload = {
                "status": self.status.value,
                "seq": len(self.entries) + 1,
                "label": changes.checkpoint.label,
                "state": self.state,
                "agent_states": self.agent_states,
                "metadata": self.metadata,
            }
            name = changes.checkpoint.checkpoint_id
            self.entries.append((name, "checkpoint", copy.deepcopy(payload)))

    def _ids(self) -> list[str]:
        return [name for name, _, _ in self.entries]


def merged(document: Document, patch: Patch) -> Document:
    result = dict(document)
    for key, value in patch.items():
        if value is not REMOVED:
            result[key] = value
        else:
            result.pop(key, None)
    return result


class Store:
    """The least that a back end does with decisions."""

    def __init__(self, session: Session) -> None:
        created = decide(checked_create(session, at()), None)
        assert created.record
        self.record: SessionRecord = created.record
        self.entries = created.entries
        self.shared: dict[SharedScope, str] = {}

    def carry_out(self, operation: Operation) -> Decision:
        ids = operation.entry_ids if isinstance(operation, Apply) else ()
        known = [entry for entry in self.entries if entry.entry_id in ids]
        decision = decide(operation, self.record, known, self.shared)
        if decision.writes and decision.record:
            keep = len(self.entries) if decision.keep is None else decision.keep
            self.entries = self.entries[:keep] + decision.entries
            self.record = decision.record
            self.shared |= decision.shared
        return decision

    @property
    def session(self) -> Session:
        return to_session(self.record, self.entries)


histories = st.lists(st.tuples(changes(NOW), st.integers(0, 50)), max_size=8)


def outcome(work: Any, *arguments: Any) -> str:
    try:
        work(*arguments)
    except SessionStoreError as error:
        return type(error).__name__
    return "done"


@given(histories)
def test_any_history_ends_where_the_model_ends(history: list[tuple[Changes, int]]) -> None:
    store, model = Store(new_session()), Model()
    for change, seconds in history:
        now = NOW + timedelta(seconds=seconds)
        attempt = copy.deepcopy(model)
        expected = outcome(attempt.apply, change, now)
        operation = checked_apply(KEY, change, Moment(now), None)
        assert outcome(store.carry_out, operation) == expected
        model = attempt if expected == "done" else model
        assert exact(told(store)) == exact(model)


def told(store: Store) -> Model:
    """What a store holds, in the words of the model."""
    session = store.session
    return Model(
        status=session.status,
        version=session.version,
        updated_at=session.updated_at,
        completed_at=session.completed_at,
        expires_at=session.expires_at,
        state=session.state,
        agent_states=session.agent_states,
        metadata=session.metadata,
        app_state=codec.decode(store.shared.get(("app", ""), "{}"), ""),
        user_state=codec.decode(store.shared.get(("app", "ada"), "{}"), ""),
        entries=[(entry.entry_id, entry.kind, entry.payload) for entry in session.entries],
    )


@given(histories)
def test_any_history_is_numbered_without_gaps(history: list[tuple[Changes, int]]) -> None:
    store = Store(new_session())
    for change, seconds in history:
        version = store.record.version
        operation = checked_apply(KEY, change, at(seconds), None)
        result = outcome(store.carry_out, operation)
        assert [entry.seq for entry in store.entries] == [*range(1, store.record.last_seq + 1)]
        assert len({entry.entry_id for entry in store.entries}) == store.record.last_seq
        assert store.record.version in (version, version + (result == "done"))


@given(histories, changes(NOW))
def test_a_repeated_write_with_entries_writes_nothing_and_answers_alike(
    history: list[tuple[Changes, int]], change: Changes
) -> None:
    store = Store(new_session())
    for earlier, _ in history:
        outcome(store.carry_out, checked_apply(KEY, earlier, at(-1), None))
    operation = checked_apply(KEY, change, at(-1), None)
    if not operation.entry_ids or outcome(store.carry_out, operation) != "done":
        return
    before = store.session
    again = store.carry_out(operation)
    assert again.writes is False
    assert store.session == before
    stored = {entry.entry_id: entry for entry in before.entries}
    assert again.answer
    assert again.answer.entries == tuple(
        stored[name] for name in dict.fromkeys(operation.entry_ids)
    )


@given(patches, patches)
def test_patches_of_different_keys_commute(one: Patch, two: Patch) -> None:
    two = {key.upper(): value for key, value in two.items()}
    ends = []
    for order in ((one, two), (two, one)):
        store = Store(new_session(state={"a": 0, "B": 0}))
        for patch in order:
            store.carry_out(application(state=patch))
        ends.append(store.session.state)
    assert ends[0] == ends[1]


@given(histories, changes(NOW))
def test_deciding_changes_nothing_that_it_was_given(
    history: list[tuple[Changes, int]], change: Changes
) -> None:
    store = Store(new_session())
    for earlier, _ in history:
        outcome(store.carry_out, checked_apply(KEY, earlier, at(-1), None))
    known, shared = list(store.entries), dict(store.shared)
    operation = checked_apply(KEY, change, at(), None)
    before = repr((operation, store.record, known, shared))
    outcome(decide, operation, store.record, known, shared)
    assert repr((operation, store.record, known, shared)) == before


def record() -> SessionRecord:
    decision = decide(creation(history="abc"), None)
    assert decision.record
    return decision.record


class TestDecision:
    def test_a_creation_removes_what_an_expired_session_left(self) -> None:
        decision = decide(creation(), record()._replace(expires_at=NOW))
        assert (decision.keep, decision.entries, decision.writes) == (0, (), True)

    def test_a_deletion_has_no_record(self) -> None:
        decision = decide(Delete(KEY, at()), record())
        assert (decision.record, decision.writes) == (None, True)
        assert isinstance(decision.answer, Applied)

    def test_a_deletion_of_nothing_writes_nothing(self) -> None:
        assert decide(Delete(KEY, at()), None) == Decision(None, writes=False)

    def test_a_deletion_of_an_expired_session_writes_and_answers_none(self) -> None:
        decision = decide(Delete(KEY, at()), record()._replace(expires_at=NOW))
        assert (decision.answer, decision.record, decision.writes) == (None, None, True)

    def test_a_patch_of_one_document_keeps_the_text_of_the_others(self) -> None:
        odd = record()._replace(state='{"a" : 1}', agent_states="{ }", metadata='{"m": 1 }')
        changed = decide(application(metadata={"n": 2}), odd).record
        assert changed
        assert (changed.state, changed.agent_states) == (odd.state, odd.agent_states)

    def test_a_version_is_stale_even_when_all_times_agree(self) -> None:
        with pytest.raises(StaleSessionError):
            decide(application(expected_version=2), record())

    @pytest.mark.parametrize(
        ("given_changes", "scopes"),
        [
            ({}, ()),
            ({"app_state": {}}, ()),
            ({"app_state": {"a": 1}}, (("app", ""),)),
            ({"user_state": {"a": REMOVED}}, (("app", "ada"),)),
            ({"user_state": {"a": 1}, "app_state": {"a": 1}}, (("app", ""), ("app", "ada"))),
        ],
        ids=str,
    )
    def test_shared_documents_are_locked_in_one_order(
        self, given_changes: Mapping[str, Any], scopes: Sequence[SharedScope]
    ) -> None:
        assert shared_scopes(application(**given_changes)) == scopes

    def test_only_applying_shares(self) -> None:
        assert shared_scopes(creation()) == shared_scopes(Delete(KEY, at())) == ()

    def test_an_entry_is_stored_with_the_version_and_time_of_its_write(self) -> None:
        change = checked_apply(KEY, Changes(entries=messages("x")), at(9), None)
        (entry,) = decide(change, record()).entries
        assert entry == EntryRecord(4, "x", "message", '"x"', at(9).now, 2)
