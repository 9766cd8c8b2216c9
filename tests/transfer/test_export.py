"""An export holds all that is stored, can be read by anybody, and is there whole or not at all."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from session_store.backends.memory import MemoryRepository
from session_store.core.records import StoredVersion
from session_store.errors import SettingsError, StoreUnavailableError, TransferError
from session_store.repository import SessionRepository
from session_store.testing.given import change, create, message
from session_store.transfer import files
from session_store.transfer.exporting import ExportReport, export_sessions
from session_store.transfer.importing import import_sessions
from tests.service.support import Wrapped
from tests.transfer.support import clock, files_in, held, many, raw, stock


@pytest.fixture
def memory() -> MemoryRepository:
    repository = MemoryRepository()
    stock(repository)
    return repository


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


@pytest.mark.parametrize("name", ["all.jsonl", "all.jsonl.gz", "all.jsonl.zst"])
def test_all_that_is_stored_comes_back_from_an_export(
    repository: SessionRepository, tmp_path: Path, name: str
) -> None:
    stock(repository)
    report = export_sessions(repository, tmp_path / name, clock=clock)
    assert (report.sessions, report.shared) == (8, 2)
    assert report.bytes == (tmp_path / name).stat().st_size
    with MemoryRepository() as other:
        import_sessions(tmp_path / name, other)
        assert held(other) == held(repository)


def test_every_store_exports_the_same_bytes(
    repository: SessionRepository, memory: MemoryRepository, tmp_path: Path
) -> None:
    stock(repository)
    export_sessions(repository, tmp_path / "a.jsonl", clock=clock)
    export_sessions(memory, tmp_path / "b.jsonl", clock=clock)
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()


def test_a_line_is_a_json_object_whose_documents_are_objects(
    memory: MemoryRepository, tmp_path: Path
) -> None:
    export_sessions(memory, tmp_path / "a.jsonl", clock=clock)
    first, *rest, last = lines(tmp_path / "a.jsonl")
    assert first == {
        "type": "export",
        "format": "session-store-export",
        "version": 1,
        "created_at": "2026-01-02T03:04:05.000000Z",
    }
    (session,) = (one for one in rest if one.get("user_id") == "ada" and one.get("version") == 5)
    assert session["state"] == {"z": 1, "a": [0.0], "w": 1}
    assert session["agent_states"] == {"planner": {"n": 2**53}}
    kinds = [one["type"] for one in rest]
    assert last["sessions"] == kinds.count("session") == 8
    assert last["entries"] == kinds.count("entry")


def test_the_checksums_are_those_that_the_description_tells(
    memory: MemoryRepository, tmp_path: Path
) -> None:
    export_sessions(memory, tmp_path / "a.jsonl")
    text = (tmp_path / "a.jsonl").read_bytes()
    before, last = text[: text.rindex(b'{"type":"end"')], text[text.rindex(b'{"type":"end"') :]
    assert json.loads(last)["sha256"] == hashlib.sha256(before).hexdigest()


def test_the_file_is_for_its_owner_only_and_nothing_else_is_left(
    memory: MemoryRepository, tmp_path: Path
) -> None:
    before = os.umask(0)
    try:
        export_sessions(memory, tmp_path / "a.jsonl.zst")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.jsonl.zst").stat().st_mode) == 0o600
    assert [*files_in(tmp_path)] == ["a.jsonl.zst"]


def test_a_file_that_is_there_is_overwritten_only_when_asked(
    memory: MemoryRepository, tmp_path: Path
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("mine")
    with pytest.raises(TransferError, match="is there already"):
        export_sessions(memory, path)
    assert path.read_text() == "mine"
    export_sessions(memory, path, overwrite=True)
    assert lines(path)[-1]["type"] == "end"


def test_a_file_that_comes_to_be_meanwhile_stays(memory: MemoryRepository, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"

    def somebody(_done: int, _total: int) -> None:
        path.write_text("mine")

    with pytest.raises(StoreUnavailableError, match="exists"):
        export_sessions(memory, path, on_progress=somebody)
    assert path.read_text() == "mine"
    assert [*files_in(tmp_path)] == ["a.jsonl"]


def test_an_export_that_fails_leaves_nothing(memory: MemoryRepository, tmp_path: Path) -> None:
    class Failing(Wrapped):
        def scan_shared(self, *_: Any) -> Any:
            raise StoreUnavailableError("gone")

    with pytest.raises(StoreUnavailableError, match="gone"):
        export_sessions(Failing(memory), tmp_path / "a.jsonl")
    assert not [*files_in(tmp_path)]


def test_a_dash_is_the_standard_output(
    memory: MemoryRepository, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    report = export_sessions(memory, "-", clock=clock)
    export_sessions(memory, tmp_path / "a.jsonl", clock=clock)
    written = capfdbinary.readouterr().out
    assert written == (tmp_path / "a.jsonl").read_bytes()
    assert report.bytes == len(written)


def test_what_people_have_laid_out_anew_is_exported_in_our_layout(tmp_path: Path) -> None:
    """A stored text may have line ends, which would be the end of a line."""
    from session_store.core.operations import Put

    with MemoryRepository() as repository:
        create(repository, history=["a"], metadata={"n": 1})
        record, entries = raw(repository)
        by_hand = (
            record._replace(metadata='{\n  "n": 1\n}'),
            entries[0]._replace(payload=' "a"\r\n'),
        )
        repository.commit(
            [Put(by_hand[0], (by_hand[1],), at_any(), replaces=StoredVersion.of(record))]
        )
        export_sessions(repository, tmp_path / "a.jsonl")
    _, session, entry, _ = lines(tmp_path / "a.jsonl")
    assert (session["metadata"], entry["payload"]) == ({"n": 1}, "a")


def test_what_is_no_json_in_the_store_is_told_and_not_left_out(tmp_path: Path) -> None:
    from session_store.core.operations import Put

    with MemoryRepository() as repository:
        create(repository, history=["a", "b"])
        record, entries = raw(repository)
        broken = (entries[0], entries[1]._replace(payload="{"))
        repository.commit([Put(record, broken, at_any(), replaces=StoredVersion.of(record))])
        with pytest.raises(TransferError, match=r"'s1'.*entries\[2\]"):
            export_sessions(repository, tmp_path / "a.jsonl")


def test_progress_ends_with_all_that_there_is(memory: MemoryRepository, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    report = export_sessions(memory, tmp_path / "a", on_progress=lambda *one: told.append(one))
    total = report.sessions + report.entries
    assert (told[0], told[-1]) == ((0, total), (total, total))
    assert told == sorted(told)


def test_sessions_that_are_written_meanwhile_are_each_of_one_moment(tmp_path: Path) -> None:
    class Busy(Wrapped):
        """Between any two calls somebody appends to every session."""

        def fetch_many(self, keys: Any, **options: Any) -> Any:
            found = super().fetch_many(keys, **options)
            for key in keys:
                change(self.inner, key, entries=(message(f"{id(found)}-{key.session_id}"),))
            return found

    with MemoryRepository() as repository:
        many(repository, 50)
        export_sessions(Busy(repository), tmp_path / "a.jsonl")
        with MemoryRepository() as other:
            assert import_sessions(tmp_path / "a.jsonl", other).added == 50


def test_zstd_that_is_not_installed_is_an_error_that_names_it(
    memory: MemoryRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("backports", "backports.zstd", "compression", "compression.zstd"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(SettingsError, match=r"session-store\[zstd\]"):
        export_sessions(memory, tmp_path / "a.zst")
    assert not [*files_in(tmp_path)]


def test_a_gzip_file_is_one_for_other_programs(memory: MemoryRepository, tmp_path: Path) -> None:
    export_sessions(memory, tmp_path / "a.gz", clock=clock)
    export_sessions(memory, tmp_path / "a", clock=clock)
    assert gzip.decompress((tmp_path / "a.gz").read_bytes()) == (tmp_path / "a").read_bytes()


def test_an_empty_store_has_an_export(tmp_path: Path) -> None:
    with MemoryRepository() as empty:
        report = export_sessions(empty, tmp_path / "a.jsonl")
        assert report == ExportReport(bytes=report.bytes)
        import_sessions(tmp_path / "a.jsonl", empty)


def test_a_large_export_needs_little_memory(tmp_path: Path) -> None:
    """4,000 sessions of 40 entries in a process whose peak is told; all at once take 200 MB."""
    code = f"""
import resource
from session_store.backends.sql.sqlite.store import open_sqlite
from session_store.transfer.exporting import export_sessions
from tests.transfer.support import many
with open_sqlite({str(tmp_path / "a.db")!r}, synchronous="NORMAL") as repository:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    export_sessions(repository, {str(tmp_path / "a.jsonl")!r})
    print(before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
    from session_store.backends.sql.sqlite.store import open_sqlite

    with open_sqlite(tmp_path / "a.db", synchronous="NORMAL") as repository:
        many(repository, 4000, 40)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    before, peak = map(int, done.stdout.split())
    assert peak - before < 40_000


def at_any() -> Any:
    from session_store.testing.given import at

    return at()


def test_reading_is_bounded_by_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_LINE", 100)
    path = tmp_path / "file"
    path.write_bytes(b"x" * 99 + b"\n")
    with files.opened(path) as file:
        assert len(list(file.lines())) == 1
    path.write_bytes(b"x" * 101 + b"\n")
    with files.opened(path) as file, pytest.raises(TransferError, match="longer than 100 bytes"):
        list(file.lines())
