"""Sessions of the older program: nothing of them is lost, and their file becomes one of ours."""

from __future__ import annotations

import json
import shutil
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from session_store.backends.json_file.repository import JsonFileRepository, accept_edited_file
from session_store.backends.legacy import converted
from session_store.core.records import EntryRecord, SessionRecord, to_session
from session_store.errors import CorruptStoreError
from session_store.session import Documents, Session, SessionKey, Status
from session_store.testing.given import BEGINNING, change, count, listed, load, messages

SAMPLE = Path(__file__).parent / "legacy" / "sessions.json"
"""Written by the older program: conversations with pauses and completions."""

STORED: dict[str, Any] = json.loads(SAMPLE.read_bytes())["sessions"]


def time(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def read(session: dict[str, Any]) -> Session:
    return to_session(*converted(session))


def stamp(second: int) -> str:
    return f"2026-11-22T11:06:{second:02}"


def artifact(second: int, **fields: Any) -> dict[str, Any]:
    return {"type": "note", "payload": second, "timestamp": stamp(second)} | fields


def checkpoint(name: str, second: int, snapshot: dict[str, Any] | str) -> dict[str, Any]:
    text = snapshot if isinstance(snapshot, str) else json.dumps(snapshot)
    return {"checkpoint_id": name, "state_snapshot": text, "timestamp": stamp(second)}


def old_session(**fields: Any) -> dict[str, Any]:
    return {
        "session_id": "s1",
        "user_id": "ada",
        "state": "running",
        "agent_states": {},
        "artifacts": [],
        "checkpoints": [],
        "metadata": {},
        "created_at": stamp(0),
        "updated_at": stamp(59),
    } | fields


def order(session: dict[str, Any]) -> list[str]:
    return [entry.entry_id for entry in read(session).entries]


@pytest.mark.parametrize("name", STORED)
def test_every_field_of_a_stored_session_is_kept(name: str) -> None:
    old, new = STORED[name], read(STORED[name])
    assert new.key == SessionKey("default", old["user_id"], name)
    assert (new.status, new.version, new.state) == (old["state"], 1, {})
    assert (new.agent_states, new.metadata) == (old["agent_states"], old["metadata"])
    assert (new.created_at, new.updated_at) == (time(old["created_at"]), time(old["updated_at"]))
    assert new.completed_at == (time(old["completed_at"]) if "completed_at" in old else None)
    assert [(one.payload, one.created_at) for one in new.artifacts] == [
        ({"type": one["type"], "payload": one["payload"]}, time(one["timestamp"]))
        for one in old["artifacts"]
    ]
    assert [(one.entry_id, one.created_at) for one in new.checkpoints] == [
        (one["checkpoint_id"], time(one["timestamp"])) for one in old["checkpoints"]
    ]
    assert new.last_seq == len(old["artifacts"]) + len(old["checkpoints"])


def test_a_stored_checkpoint_can_be_restored() -> None:
    (old,) = [one for one in STORED.values() if one["state"] == "paused"]
    (saved,) = read(old).checkpoints
    snapshot = json.loads(old["checkpoints"][0]["state_snapshot"])
    assert saved.payload.keys() == {"status", "seq", "label", *Documents.model_fields}
    assert (saved.payload["status"], saved.payload["seq"]) == (Status.PAUSED, saved.seq)
    assert saved.payload["agent_states"] == snapshot["agent_states"]
    assert saved.payload["metadata"] == snapshot["metadata"]
    Documents(**{name: saved.payload[name] for name in Documents.model_fields})


def test_a_checkpoint_stands_after_what_it_holds() -> None:
    artifacts = [artifact(1), artifact(2), artifact(3)]
    first = checkpoint("c1", 2, old_session(artifacts=artifacts[:2]))
    second = checkpoint("c2", 3, old_session(artifacts=artifacts, checkpoints=[first]))
    session = old_session(artifacts=artifacts, checkpoints=[first, second])
    assert order(session) == ["artifact-1", "artifact-2", "c1", "artifact-3", "c2"]
    assert [entry.seq for entry in read(session).entries] == [1, 2, 3, 4, 5]


def test_a_clock_that_was_set_back_changes_no_order() -> None:
    artifacts = [artifact(30), artifact(10), artifact(20)]
    saved = checkpoint("c", 5, old_session(artifacts=artifacts[:2]))
    session = old_session(artifacts=artifacts, checkpoints=[saved])
    assert order(session) == ["artifact-1", "artifact-2", "c", "artifact-3"]


def test_a_checkpoint_that_only_another_one_holds_is_kept() -> None:
    first = checkpoint("c1", 1, old_session(state="paused"))
    second = checkpoint("c2", 2, old_session(checkpoints=[first]))
    third = checkpoint("c3", 3, old_session(checkpoints=[first, second]))
    session = old_session(artifacts=[artifact(9)], checkpoints=[third])
    assert order(session) == ["c1", "c2", "c3", "artifact-1"]
    assert read(session).entries[0].payload["status"] == "paused"


def test_one_id_of_two_checkpoints_becomes_two() -> None:
    """The older program numbered them by their count, which restoring one set back."""
    before = checkpoint("s1_0", 1, old_session(state="paused"))
    after = checkpoint("s1_0", 2, old_session(checkpoints=[before]))
    assert order(old_session(checkpoints=[after])) == ["s1_0", "s1_0-2"]


def test_an_artifact_that_only_a_checkpoint_holds_is_kept_in_it() -> None:
    snapshot = old_session(artifacts=[artifact(1), artifact(2)])
    session = old_session(artifacts=[artifact(1)], checkpoints=[checkpoint("c", 3, snapshot)])
    (saved,) = read(session).checkpoints
    assert saved.payload["metadata"] == {"legacy_fields": {"artifacts": [artifact(2)]}}
    assert order(session) == ["artifact-1", "c"]


def test_unknown_fields_are_kept_in_the_metadata() -> None:
    session = old_session(mood="good", metadata={"legacy_fields": 1})
    assert read(session).metadata == {"legacy_fields": 1, "legacy_fields-2": {"mood": "good"}}
    assert read(old_session(artifacts=[artifact(1, by="ada")])).entries[0].payload["by"] == "ada"


def test_a_field_that_is_empty_may_be_missing_or_null() -> None:
    names = ("agent_states", "artifacts", "checkpoints", "metadata", "completed_at")
    without = {name: value for name, value in old_session().items() if name not in names}
    assert read(without) == read(without | dict.fromkeys(names)) == read(old_session())


def test_an_agent_state_that_is_no_object_becomes_one() -> None:
    assert read(old_session(agent_states={"a": 1})).agent_states == {"a": {"value": 1}}


def test_a_time_with_a_zone_keeps_its_meaning() -> None:
    session = read(old_session(created_at="2026-11-22T12:06:00+01:00"))
    assert session.created_at == datetime(2026, 11, 22, 11, 6, tzinfo=UTC)


WRONG: dict[str, Any] = {
    "state": {"state": "asleep"},
    "user_id": {"user_id": None},
    "created_at": {"created_at": 1},
    "updated_at": {"updated_at": "0001-01-01T00:00:00+23:00"},
    "completed_at": {"completed_at": "soon"},
    "metadata": {"metadata": []},
    "agent_states": {"agent_states": "{}"},
    "artifacts": {"artifacts": {}},
    r"artifacts\[0\]": {"artifacts": [{"type": "note"}]},
    r"artifacts\[1\]\.timestamp": {"artifacts": [artifact(1), artifact(2, timestamp=None)]},
    "checkpoints": {"checkpoints": [1]},
    "checkpoint_id": {"checkpoints": [{"timestamp": stamp(1)}]},
    "timestamp of checkpoint 'c'": {"checkpoints": [{"checkpoint_id": "c"}]},
    "state_snapshot of 'c'": {"checkpoints": [checkpoint("c", 1, "{")]},
    "state_snapshot of 'd'": {"checkpoints": [checkpoint("d", 1, "[]")]},
}


@pytest.mark.parametrize(("place", "fields"), WRONG.items(), ids=list(WRONG))
def test_a_malformed_session_is_named(place: str, fields: dict[str, Any]) -> None:
    with pytest.raises(CorruptStoreError, match=f"session 's1' of the older format: .*{place}"):
        converted(old_session(**fields))


def test_what_is_no_session_is_refused() -> None:
    with pytest.raises(CorruptStoreError):
        converted([])  # type: ignore[arg-type]


def test_many_nested_checkpoints_are_opened_once() -> None:
    checkpoints: list[dict[str, Any]] = []
    for number in range(9):  # 0.8 MB of text; 12 checkpoints of this empty session have 19 MB
        snapshot = old_session(checkpoints=list(checkpoints))
        checkpoints.append(checkpoint(f"c{number}", number, snapshot))
    assert order(old_session(checkpoints=checkpoints)) == [f"c{n}" for n in range(9)]


class TestFile:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return Path(shutil.copy(SAMPLE, tmp_path / "sessions.json"))

    def test_opening_reads_it_and_writes_nothing(self, path: Path) -> None:
        with JsonFileRepository(path.parent) as repository:
            assert count(repository) == len(STORED)
            for head in listed(repository):
                assert load(repository, head.key) == read(STORED[head.session_id])
        assert path.read_bytes() == SAMPLE.read_bytes()
        assert not list(path.parent.glob("*.legacy"))

    def test_the_first_save_rewrites_it_and_keeps_the_original(self, path: Path) -> None:
        path.chmod(0o644)
        with JsonFileRepository(path.parent) as repository:
            keys = [head.key for head in listed(repository)]
            change(repository, keys[0], moment=BEGINNING, entries=messages("a"))
            change(repository, keys[0], moment=BEGINNING, entries=messages("b"))
        assert json.loads(path.read_bytes())["revision"] == 2
        original = Path(f"{path}.legacy")
        assert original.read_bytes() == SAMPLE.read_bytes()
        assert stat.S_IMODE(original.stat().st_mode) == 0o600
        with JsonFileRepository(path.parent) as repository:
            assert load(repository, keys[0]).entries[-1].entry_id == "b"
            for key in keys[1:]:
                assert load(repository, key) == read(STORED[key.session_id])

    def test_an_original_that_was_kept_before_is_not_overwritten(self, path: Path) -> None:
        Path(f"{path}.legacy").write_text("another original")
        with JsonFileRepository(path.parent) as repository:
            change(repository, listed(repository)[0].key, moment=BEGINNING, entries=messages("a"))
        assert Path(f"{path}.legacy").read_text() == "another original"
        assert Path(f"{path}.legacy-2").read_bytes() == SAMPLE.read_bytes()

    def test_a_save_of_the_older_program_meanwhile_is_seen(self, path: Path) -> None:
        with JsonFileRepository(path.parent) as repository:
            found = json.loads(path.read_bytes())
            del found["sessions"][next(iter(STORED))]
            path.write_text(json.dumps(found))
            assert count(repository) == len(STORED) - 1

    def test_it_is_preferred_to_a_backup_of_ours(self, path: Path) -> None:
        with JsonFileRepository(path.parent) as repository:
            for _ in range(2):
                key = listed(repository)[0].key
                repository.delete(key, BEGINNING)
        shutil.copy(SAMPLE, path)
        with JsonFileRepository(path.parent) as repository:
            assert count(repository) == len(STORED)

    def test_a_truncated_one_gives_way_to_its_backup(self, path: Path) -> None:
        shutil.copy(path, f"{path}.bak")
        path.write_bytes(SAMPLE.read_bytes()[:-9])
        with JsonFileRepository(path.parent) as repository:
            assert count(repository) == len(STORED)

    @pytest.mark.parametrize(
        "edit",
        [
            lambda sessions: sessions.update(x=sessions.pop(next(iter(STORED)))),
            lambda sessions: sessions[next(iter(STORED))].update(state="asleep"),
        ],
    )
    def test_one_malformed_session_refuses_the_file(
        self, path: Path, edit: Callable[[Any], object]
    ) -> None:
        found = json.loads(path.read_bytes())
        edit(found["sessions"])
        path.write_text(json.dumps(found))
        before = path.read_bytes()
        with pytest.raises(CorruptStoreError, match=next(iter(STORED))):
            JsonFileRepository(path.parent)
        assert path.read_bytes() == before

    def test_it_needs_no_acceptance(self, path: Path) -> None:
        assert accept_edited_file(path) == len(STORED)
        assert path.read_bytes() == SAMPLE.read_bytes()


def test_the_answer_is_made_of_records() -> None:
    record, entries = converted(next(iter(STORED.values())))
    assert isinstance(record, SessionRecord)
    assert all(isinstance(entry, EntryRecord) for entry in entries)
