"""An import checks all before it writes, can be repeated, and says what is in the way."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from session_store.backends.memory import MemoryRepository
from session_store.errors import (
    CorruptStoreError,
    ExportFormatError,
    SettingsError,
    StoreUnavailableError,
    TransferError,
)
from session_store.repository import SessionRepository
from session_store.testing.given import (
    KEY,
    OTHERS,
    after,
    at,
    change,
    create,
    load,
    messages,
)
from session_store.transfer import checking, files
from session_store.transfer.exporting import export_sessions
from session_store.transfer.importing import ImportReport, OnConflict, import_sessions
from tests.backends.test_sqlite_legacy import STORED, TABLE, insert
from tests.service.support import Wrapped
from tests.transfer.hostile import resealed
from tests.transfer.support import Failing, clock, held, many, stock

LEGACY = Path(__file__).parents[1] / "legacy" / "sessions.json"


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """An export of every odd kind of session."""
    with MemoryRepository() as repository:
        stock(repository)
        export_sessions(repository, tmp_path / "all.jsonl", clock=clock)
    return tmp_path / "all.jsonl"


@pytest.fixture
def small(tmp_path: Path) -> Path:
    with MemoryRepository() as repository:
        for key in (KEY, OTHERS[0]):
            create(repository, key, history=["a", "b"])
        change(repository, app_state={"a": 1})
        export_sessions(repository, tmp_path / "small.jsonl", clock=clock)
    return tmp_path / "small.jsonl"


def test_what_is_resealed_and_not_changed_is_imported(small: Path, tmp_path: Path) -> None:
    """So hostile files are refused for what is wrong with them."""
    (tmp_path / "good.jsonl").write_bytes(resealed(small.read_bytes()))
    assert (tmp_path / "good.jsonl").read_bytes() == small.read_bytes()
    with MemoryRepository() as repository:
        assert import_sessions(tmp_path / "good.jsonl", repository).added == 2


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_every_truncation_of_a_compressed_export_is_refused(tmp_path: Path, suffix: str) -> None:
    with MemoryRepository() as repository:
        create(repository, history=["a", "b"])
        export_sessions(repository, tmp_path / f"a.{suffix}")
    content = (tmp_path / f"a.{suffix}").read_bytes()
    bad = tmp_path / f"bad.{suffix}"
    with MemoryRepository() as repository:
        for length in range(len(content)):
            bad.write_bytes(content[:length])
            with pytest.raises(ExportFormatError):
                import_sessions(bad, repository)
        assert held(repository) == []
        bad.write_bytes(content)
        assert import_sessions(bad, repository).added == 1


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_no_flipped_bit_gets_through(small: Path, tmp_path: Path, suffix: str) -> None:
    with MemoryRepository() as repository:
        import_sessions(small, repository)
        whole = held(repository)
        export_sessions(repository, tmp_path / f"a{suffix}", clock=clock)
    content, bad = (tmp_path / f"a{suffix}").read_bytes(), tmp_path / f"bad{suffix}"
    for place in range(0, len(content), 7):
        flipped = bytearray(content)
        flipped[place] ^= 1 << (place % 8)
        bad.write_bytes(flipped)
        with MemoryRepository() as repository:
            try:
                import_sessions(bad, repository)
            except (ExportFormatError, CorruptStoreError):
                assert held(repository) == []
            else:  # a flag of the compression that says nothing about the content
                assert held(repository) == whole


def test_a_bomb_is_refused_before_it_grows(tmp_path: Path) -> None:
    head = json.dumps(
        {"type": "export", "format": "session-store-export", "version": 1, "created_at": "x"}
    ).encode()
    for name, content in {
        "one line": head + b"\n" + b" " * (200 * 1024 * 1024),
        "many lines": head + b"\n" + b'{"type":"session"}\n' * 10_000_000,
    }.items():
        bad = tmp_path / "bomb.gz"
        bad.write_bytes(gzip.compress(content, 9))
        with MemoryRepository() as repository, pytest.raises(ExportFormatError):
            import_sessions(bad, repository)
        assert name


def test_what_unpacks_beyond_measure_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_FREE", 1000)
    monkeypatch.setattr(files, "MAX_RATIO", 20)
    with MemoryRepository() as repository:
        create(repository, history=["a" * 10_000] * 200)
        export_sessions(repository, tmp_path / "a.zst")
    with MemoryRepository() as other, pytest.raises(ExportFormatError, match="20 times"):
        import_sessions(tmp_path / "a.zst", other)


def test_a_session_beyond_measure_is_refused(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "MAX_SESSION", 200)
    with MemoryRepository() as other, pytest.raises(ExportFormatError, match="larger than 200"):
        import_sessions(small, other)


def test_an_import_is_the_same_on_every_store(
    repository: SessionRepository, exported: Path
) -> None:
    report = import_sessions(exported, repository, clock=clock)
    with MemoryRepository() as memory:
        import_sessions(exported, memory)
        assert held(repository) == held(memory)
    assert (report.added, report.shared) == (8, 2)


@pytest.mark.parametrize("policy", ["fail", "skip", "replace", "newer"])
def test_importing_again_changes_nothing(
    repository: SessionRepository, exported: Path, policy: OnConflict
) -> None:
    first = import_sessions(exported, repository)
    before = held(repository)
    again = import_sessions(exported, repository, on_conflict=policy)
    assert again == ImportReport(unchanged=first.added)
    assert held(repository) == before


def test_what_is_in_the_way_is_told_and_nothing_is_written(
    repository: SessionRepository, exported: Path
) -> None:
    create(repository, OTHERS[1], history="x")
    change(repository, OTHERS[1], app_state={"other": 1})
    before = held(repository)
    with pytest.raises(TransferError, match=r"has 2 of these.*'bob'.*shared document"):
        import_sessions(exported, repository)
    assert held(repository) == before


def test_skip_keeps_what_the_store_has(repository: SessionRepository, exported: Path) -> None:
    create(repository, OTHERS[1], history="x")
    report = import_sessions(exported, repository, on_conflict="skip")
    assert (report.added, report.skipped, report.replaced) == (7, 1, 0)
    assert [entry.payload for entry in load(repository, OTHERS[1]).entries] == ["x"]


def test_replace_takes_what_the_file_has(repository: SessionRepository, exported: Path) -> None:
    create(repository, OTHERS[1], history="xyz", version=7)
    change(repository, OTHERS[1], app_state={"other": 1})
    report = import_sessions(exported, repository, on_conflict="replace")
    assert (report.added, report.replaced) == (7, 1)
    with MemoryRepository() as memory:
        import_sessions(exported, memory)
        assert held(repository) == held(memory)


def test_newer_takes_what_was_written_last(repository: SessionRepository, tmp_path: Path) -> None:
    with MemoryRepository() as memory:
        for key in (KEY, *OTHERS):
            create(memory, key, history="f")
            change(memory, key, moment=at(50), entries=messages("x"))
        export_sessions(memory, tmp_path / "a.jsonl")
    ages = {KEY: 49, OTHERS[0]: 51, OTHERS[1]: 50}
    for key, seconds in ages.items():
        create(repository, key, history="s")
        change(repository, key, moment=at(seconds), entries=messages("y", "z"))
    report = import_sessions(tmp_path / "a.jsonl", repository, on_conflict="newer")
    assert (report.added, report.replaced, report.skipped) == (1, 1, 2)
    assert load(repository, KEY).entries[0].payload == "f"
    assert load(repository, OTHERS[0]).entries[0].payload == "s"


def test_an_expired_session_that_is_still_stored_is_in_the_way(
    repository: SessionRepository, small: Path
) -> None:
    create(repository, history="x", expires_at=after(-9))
    with pytest.raises(TransferError, match="'s1'"):
        import_sessions(small, repository)


def test_a_policy_that_there_is_not_is_refused(small: Path) -> None:
    policy: Any = "maybe"
    with MemoryRepository() as repository, pytest.raises(SettingsError, match="maybe"):
        import_sessions(small, repository, on_conflict=policy)


def test_an_import_that_broke_off_is_finished_by_another(tmp_path: Path) -> None:
    with MemoryRepository() as source:
        many(source, 2000)
        export_sessions(source, tmp_path / "a.jsonl")
        with MemoryRepository() as repository:
            with pytest.raises(StoreUnavailableError):
                import_sessions(tmp_path / "a.jsonl", Failing(repository))
            assert 0 < len(held(repository)) < 2000
            report = import_sessions(tmp_path / "a.jsonl", repository)
            assert (report.added + report.unchanged, held(repository)) == (2000, held(source))
            assert report.unchanged > 0


def test_somebody_who_writes_meanwhile_is_not_overwritten(small: Path) -> None:
    class Raced(Wrapped):
        def commit(self, operations: Any) -> Any:
            create(self.inner, OTHERS[0], history="mine")
            return super().commit(operations)

    with MemoryRepository() as repository:
        with pytest.raises(TransferError, match="somebody else"):
            import_sessions(small, Raced(repository))
        assert load(repository, OTHERS[0]).entries[0].payload == "m"


def test_the_standard_input_is_a_dash(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Input:
        buffer = io.BytesIO(gzip.compress(small.read_bytes()))

    monkeypatch.setattr(sys, "stdin", Input)
    with MemoryRepository() as repository:
        assert import_sessions("-", repository).added == 2


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with MemoryRepository() as repository, pytest.raises(TransferError, match="can't be read"):
        import_sessions(tmp_path / "none", repository)


def test_the_lines_may_be_laid_out_by_another_program_with_new_checksums(
    small: Path, tmp_path: Path
) -> None:
    """Such as jq or Python's json, which write the same values in their own way."""
    out = []
    for line in small.read_bytes().splitlines():
        found = json.loads(line)
        digest = found.pop("sha256", None)
        text = json.dumps(found)
        out.append((text[:-1] + f',"sha256":"{digest}"}}' if digest else text).encode() + b"\n")
    (tmp_path / "b.jsonl").write_bytes(resealed(b"".join(out)))
    with MemoryRepository() as one, MemoryRepository() as other:
        import_sessions(small, one)
        import_sessions(tmp_path / "b.jsonl", other)
        assert held(one) == held(other)


# Older formats ----------------------------------------------------------------------------------


def test_the_older_programs_json_file_is_imported_and_stays(
    repository: SessionRepository, tmp_path: Path
) -> None:
    shutil.copy(LEGACY, tmp_path / "old.json")
    before = (tmp_path / "old.json").read_bytes()
    report = import_sessions(tmp_path / "old.json", repository)
    assert report.added == len(json.loads(before)["sessions"])
    assert (tmp_path / "old.json").read_bytes() == before
    assert import_sessions(tmp_path / "old.json", repository).unchanged == report.added


def test_the_older_programs_database_is_imported_and_stays(
    repository: SessionRepository, tmp_path: Path
) -> None:
    path = tmp_path / "older" / "sessions.db"
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(TABLE)
    insert(path, *STORED)
    before = path.read_bytes()
    report = import_sessions(path, repository)
    assert report.added == len(STORED)
    assert path.read_bytes() == before
    with sqlite3.connect(path) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master")]
    assert "session_entries" not in tables


@pytest.mark.parametrize("kind", ["file", "sqlite"])
def test_a_stores_own_file_is_imported(kind: str, tmp_path: Path) -> None:
    from tests.transfer.support import opened

    with opened(kind, tmp_path) as source:
        stock(source)
        whole = held(source)
    path = tmp_path / ("sessions.json" if kind == "file" else "sessions.db")
    with MemoryRepository() as repository:
        import_sessions(path, repository)
        assert held(repository) == whole


def test_a_file_of_another_program_is_refused(tmp_path: Path) -> None:
    with MemoryRepository() as repository:
        for number, content in enumerate((b"hello\n", b"\0" * 5000, b"{}\n", b'{"sessions":1}')):
            (tmp_path / f"{number}").write_bytes(content)
            with pytest.raises((ExportFormatError, CorruptStoreError)):
                import_sessions(tmp_path / f"{number}", repository)
        with sqlite3.connect(tmp_path / "theirs.db") as connection:
            connection.execute("CREATE TABLE t (a)")
        with pytest.raises(CorruptStoreError, match="another program"):
            import_sessions(tmp_path / "theirs.db", repository)
