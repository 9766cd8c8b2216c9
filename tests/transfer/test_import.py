"""An import checks all before it writes, can be repeated, and says what is in the way."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import sqlite3
import sys
from collections.abc import Callable
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
from tests.transfer.support import clock, held, many, stock

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


def resealed(text: bytes) -> bytes:
    """With right checksums, whatever else is wrong."""
    from session_store.transfer import format as form

    out: list[bytes] = []
    pending: list[bytes] = []

    def flush() -> None:
        if pending:
            head = form.unsealed(pending[0])
            out.extend([form.sealed(head, form.session_digest(head, pending[1:])), *pending[1:]])
            pending.clear()

    for line in text.splitlines(keepends=True):
        kind = json.loads(line).get("type")
        if kind == "session":
            flush()
            pending.append(line)
        elif kind == "entry" and pending:
            pending.append(line)
        else:
            flush()
            digest = hashlib.sha256(b"".join(out)).hexdigest()
            is_end = kind == "end"
            out.append(form.sealed(form.unsealed(line), digest) if is_end else line)
    flush()
    return b"".join(out)


def replaced(old: bytes, new: bytes, *, seal: bool = True) -> Callable[[bytes], bytes]:
    def change_(text: bytes) -> bytes:
        assert old in text
        changed = text.replace(old, new, 1)
        return resealed(changed) if seal else changed

    return change_


def without(start: int, stop: int) -> Callable[[bytes], bytes]:
    def change_(text: bytes) -> bytes:
        lines = text.splitlines(keepends=True)
        return resealed(b"".join(lines[:start] + lines[stop:]))

    return change_


def ordered(*numbers: int) -> Callable[[bytes], bytes]:
    def change_(text: bytes) -> bytes:
        lines = text.splitlines(keepends=True)
        return resealed(b"".join(lines[number] for number in numbers))

    return change_


# header, session s1, 2 entries, session s2, 2 entries, shared, end
HOSTILE: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "nothing": (lambda _: b"", "goes on"),
    "only a header": (ordered(0), "goes on"),
    "cut off in a line": (lambda text: text[:-30], "cut off"),
    "cut off after a line": (lambda text: b"".join(text.splitlines(True)[:-1]), "goes on"),
    "cut off at half": (lambda text: text[: len(text) // 2], "line"),
    "no header": (without(0, 1), "no export"),
    "another program's": (lambda _: b'{"type":"log"}\n', "no export"),
    "no JSON": (lambda text: text.replace(b'"seq":2,', b'"seq":2', 1), "checksum|expected"),
    "an array": (lambda text: text + b"[]\n", "after the end"),
    "a newer version": (replaced(b'"version":1,"created', b'"version":2,"created'), "version 2"),
    "a version that is none": (replaced(b'"version":1,"created', b'"version":"1","created'), "1"),
    "a changed text": (replaced(b'"payload":"a"', b'"payload":"c"', seal=False), "checksum"),
    "a changed head": (replaced(b'"created",', b'"running",', seal=False), "checksum"),
    "a changed shared document": (replaced(b'{"a":1}', b'{"a":2}', seal=False), "checksum"),
    "a wrong last checksum": (lambda text: text[:-6] + b'f0"}\n', "checksum"),
    "no checksum": (lambda text: text.replace(b'"sha256":', b'"sha257":', 1), "last member"),
    "a session twice": (ordered(0, 1, 2, 3, 1, 2, 3, 7, 8), "twice"),
    "sessions out of order": (ordered(0, 4, 5, 6, 1, 2, 3, 7, 8), "out of order"),
    "a shared document twice": (ordered(0, 1, 2, 3, 4, 5, 6, 7, 7, 8), "twice"),
    "an entry lost": (without(2, 3), "last_seq"),
    "a session lost": (without(1, 4), "counts"),
    "a shared document lost": (without(7, 8), "counts"),
    "an entry without a session": (ordered(0, 2, 8), "type"),
    "a session after the shared documents": (ordered(0, 1, 2, 3, 7, 4, 5, 6, 8), "type"),
    "something after the end": (lambda text: text + text, "after the end"),
    "an empty line": (lambda text: text.replace(b"\n", b"\n\n", 1), "line 2"),
    "a gap": (replaced(b'"seq":2', b'"seq":3'), "seq"),
    "a seq that is true": (replaced(b'"seq":1', b'"seq":true'), "seq"),
    "an entry id twice": (replaced(b'"e2"', b'"e1"'), "twice"),
    "an unknown status": (replaced(b'"status":"created"', b'"status":"dead"'), "status"),
    "a version of 0": (replaced(b'"version":2,', b'"version":0,'), "version"),
    "a version of an entry beyond": (
        replaced(b'"version":1,"payload', b'"version":9,"payload'),
        "v",
    ),
    "a version beyond 64 bits": (
        replaced(b'"version":2,', b'"version":99999999999999999999,'),
        "v",
    ),
    "a time without a zone": (replaced(b'123456Z","version":1', b'123456","version":1'), "UTC"),
    "a time that is none": (
        replaced(b'"created_at":"2024-02-29', b'"created_at":"2023-02-29'),
        "time",
    ),
    "an id with a line's end": (replaced(b'"session_id":"s1"', b'"session_id":"s\\n"'), "control"),
    "an empty id": (replaced(b'"session_id":"s1"', b'"session_id":""'), "bytes"),
    "an id that is a number": (replaced(b'"session_id":"s1"', b'"session_id":1'), "session_id"),
    "too long an id": (replaced(b'"e2"', b'"' + b"e" * 256 + b'"'), "255 bytes"),
    "NaN": (replaced(b'"payload":"a"', b'"payload":NaN'), "line"),
    "a number beyond 64 bits": (
        replaced(b'"payload":"a"', b'"payload":18446744073709551616'),
        "64",
    ),
    "a lone surrogate": (replaced(b'"payload":"a"', b'"payload":"\\ud800"'), "line"),
    "too deep": (
        replaced(b'"payload":"a"', b'"payload":' + b"[" * 150 + b"]" * 150),
        "deep|recurs",
    ),
    "far too deep": (lambda text: b"[" * 100_000 + text, "line 1"),
    "a document that is none": (replaced(b'"state":{}', b'"state":[]'), "state"),
    "an agent's state that is none": (
        replaced(b'"agent_states":{}', b'"agent_states":{"a":1}'),
        "a",
    ),
    "a member too many": (replaced(b'"state":{}', b'"state":{},"more":1'), "more"),
    "a member too few": (replaced(b'"state":{},', b""), "state"),
    "an entry with a member too many": (replaced(b'"kind":', b'"more":1,"kind":'), "more"),
    "other counts": (replaced(b'"entries":4', b'"entries":5'), "counts"),
    "a shared document that is none": (
        replaced(b'"document":{"a":1}', b'"document":3'),
        "document",
    ),
    "a byte that is no text": (replaced(b'"payload":"a"', b'"payload":"\xff"', seal=False), "line"),
}


@pytest.mark.parametrize(("damage", "problem"), HOSTILE.values(), ids=list(HOSTILE))
def test_a_hostile_file_is_refused_with_its_line_and_nothing_is_written(
    small: Path, tmp_path: Path, damage: Callable[[bytes], bytes], problem: str
) -> None:
    (tmp_path / "bad.jsonl").write_bytes(damage(small.read_bytes()))
    with MemoryRepository() as repository:
        with pytest.raises(ExportFormatError, match=problem) as raised:
            import_sessions(tmp_path / "bad.jsonl", repository, on_conflict="replace")
        assert "bad.jsonl" in str(raised.value)
        assert held(repository) == []


def test_what_is_resealed_and_not_changed_is_imported(small: Path, tmp_path: Path) -> None:
    """So the cases above are refused for what is wrong with them."""
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
    class Failing(Wrapped):
        commits = 0

        def commit(self, operations: Any) -> Any:
            self.commits += 1
            if self.commits == 3:
                raise StoreUnavailableError("gone")
            return super().commit(operations)

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
