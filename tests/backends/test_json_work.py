"""How much the JSON file does for a save or a read, in counts: what its speed rests on."""

from __future__ import annotations

import hashlib
import os
import random
import stat
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from session_store.backends.json_file import (
    format as json_format,
)
from session_store.backends.json_file import (
    group_commit,
)
from session_store.backends.json_file import (
    session as json_session,
)
from session_store.backends.json_file.checksum import cut
from session_store.backends.json_file.file_lock import FileLock
from session_store.backends.json_file.group_commit import Call, GroupCommit
from session_store.backends.json_file.repository import JsonFileRepository
from session_store.backends.memory import Stored
from session_store.core.ids import new_id
from session_store.core.queries import WHOLE
from session_store.session import SessionKey
from session_store.testing.given import KEY, at, change, contents, create, ids, load, messages

SHA256 = hashlib.sha256
HISTORY = [f"entry {n}" for n in range(500)]
KEYS = [SessionKey("app", "ada", f"other {n}") for n in range(30)]


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[JsonFileRepository]:
    """A long session among many."""
    with JsonFileRepository(tmp_path) as opened:
        create(opened, history=HISTORY)
        for key in KEYS:
            create(opened, key, history="ab")
        yield opened


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """What is done from now on. Everything is done as ever, and counted."""
    done: Counter[str] = Counter()

    def count(module: Any, function: str, amount: Callable[..., tuple[str, int]]) -> None:
        real = getattr(module, function)

        def counted(*arguments: Any) -> Any:
            name, number = amount(*arguments)
            done[name] += number
            return real(*arguments)

        monkeypatch.setattr(module, function, counted)

    count(os, "fsync", lambda descriptor: (f"synced {_kind(descriptor)}", 1))
    count(os, "write", lambda _, content: ("bytes written", len(content)))
    count(os, "rename", lambda *_: ("renames", 1))
    count(json_session, "entry_text", lambda _: ("entries encoded", 1))
    count(json_session, "_head", lambda _: ("sessions encoded", 1))
    count(json_session, "_entry", lambda *_: ("entries decoded", 1))
    count(json_format, "from_json", lambda *_: ("sessions decoded", 1))
    return done


def _kind(descriptor: int) -> str:
    return "directories" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "files"


def size(repository: JsonFileRepository) -> int:
    return repository.path.stat().st_size


def test_a_save_syncs_one_file_and_one_directory(
    repository: JsonFileRepository, work: Counter[str]
) -> None:
    change(repository, entries=messages("a"))
    assert (work["synced files"], work["synced directories"], work["renames"]) == (1, 1, 2)


def test_a_save_writes_the_file_once(repository: JsonFileRepository, work: Counter[str]) -> None:
    change(repository, entries=messages("a"))
    assert work["bytes written"] == size(repository)


class CountedHash:
    """SHA-256, and in ``size`` the bytes of all that were hashed."""

    size = 0

    def __init__(self, data: bytes = b"") -> None:
        self._hash = SHA256()
        self.update(data)

    def update(self, data: bytes) -> None:
        CountedHash.size += len(data)
        self._hash.update(data)

    def copy(self) -> CountedHash:
        copied = CountedHash()
        copied._hash = self._hash.copy()
        return copied

    def digest(self) -> bytes:
        return self._hash.digest()

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


def test_a_save_hashes_only_what_is_new(
    repository: JsonFileRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hashlib, "sha256", CountedHash)
    with JsonFileRepository(repository.path.parent) as opened:
        assert CountedHash.size > size(repository) * 0.9
        CountedHash.size = 0
        change(opened, entries=messages("a"))
        change(opened, KEYS[0], entries=messages("a"))
        assert CountedHash.size < 2 * (1000 + 50 * len(KEYS)) < size(repository) / 10


def test_what_is_erased_costs_one_more_file(
    repository: JsonFileRepository, work: Counter[str]
) -> None:
    repository.delete(KEYS[0], at(1))
    assert (work["synced files"], work["synced directories"]) == (2, 2)
    assert work["bytes written"] == 2 * size(repository)
    assert (work["sessions encoded"], work["entries encoded"]) == (0, 0)


@pytest.mark.parametrize("number", [1, 3])
def test_a_save_encodes_only_the_new_entries_of_only_its_session(
    repository: JsonFileRepository, work: Counter[str], number: int
) -> None:
    change(repository, entries=messages(*map(str, range(number))))
    assert (work["sessions encoded"], work["entries encoded"]) == (1, number)


def test_a_change_of_documents_encodes_no_entry(
    repository: JsonFileRepository, work: Counter[str]
) -> None:
    change(repository, state={"topic": "graphs"}, app_state={"x": 1})
    assert (work["sessions encoded"], work["entries encoded"]) == (1, 0)


def test_a_rewound_history_is_encoded_anew(
    repository: JsonFileRepository, work: Counter[str]
) -> None:
    change(repository, rewind_to=3, entries=messages("a"))
    assert (work["sessions encoded"], work["entries encoded"]) == (1, 4)


def test_after_opening_too_only_what_is_new_is_encoded(
    repository: JsonFileRepository, work: Counter[str]
) -> None:
    with JsonFileRepository(repository.path.parent) as reopened:
        work.clear()
        change(reopened, entries=messages("a"))
        assert (work["sessions encoded"], work["entries encoded"]) == (1, 1)
        table, content = reopened._table(), reopened.path.read_bytes()
        revision = json_format.revision_in(content) or 0
        assert b"".join(json_format.encode(table, revision, {})[0]) == content


def test_a_text_that_somebody_else_has_laid_out_is_encoded_anew(
    repository: JsonFileRepository,
) -> None:
    stored = repository.fetch(KEY, WHOLE)
    assert stored
    empty = Stored(stored.record)
    text, none = (b"".join(json_session.encoded(one).text.parts) for one in (stored, empty))
    for odd in (text.replace(b"\n        {", b" {"), text.replace(b",", b"\n,"), text + b" ", b""):
        assert _again(stored, odd) == text
    assert _again(empty, none.replace(b"[]", b"[ ]")) == none
    assert (_again(stored, text), _again(empty, none)) == (text, none)


def _again(stored: Stored, text: bytes) -> bytes:
    return b"".join(json_session.decoded(stored, cut(text)).text.parts)


def test_of_another_process_s_save_only_what_is_new_is_read(
    repository: JsonFileRepository, work: Counter[str]
) -> None:
    with JsonFileRepository(repository.path.parent) as other:
        change(other, KEYS[3], entries=messages("a"))
    work.clear()
    assert ids(load(repository, KEYS[3]))[-1] == "a"
    assert (work["sessions decoded"], work["entries decoded"]) == (1, 1)
    change(repository, KEYS[3], entries=messages("b"))
    assert (work["sessions encoded"], work["entries encoded"]) == (1, 1)


def test_of_a_long_history_that_grew_elsewhere_only_what_is_new_is_read(
    repository: JsonFileRepository, work: Counter[str]
) -> None:
    with JsonFileRepository(repository.path.parent) as other:
        change(other, entries=messages("a", "b"))
        work.clear()
        change(repository, entries=messages("c"))
        change(other, entries=messages("d"))
    assert ids(load(repository))[-4:] == ["a", "b", "c", "d"]
    assert (work["sessions decoded"], work["entries decoded"]) == (3, 4)
    assert (work["sessions encoded"], work["entries encoded"]) == (2, 2)


def test_what_is_taken_over_is_what_would_be_read_anew(repository: JsonFileRepository) -> None:
    chance = random.Random(1)

    def save(writer: JsonFileRepository) -> None:
        key = chance.choice([KEY, *KEYS[:3]])
        rewound = chance.choice([None, None, load(writer, key).last_seq // 2])
        change(writer, key, entries=messages(new_id()), rewind_to=rewound, state={"n": new_id()})

    with JsonFileRepository(repository.path.parent) as other:
        for _ in range(20):
            save(chance.choice([repository, other]))
            with JsonFileRepository(repository.path.parent) as anew:
                assert contents(repository) == contents(other) == contents(anew)


def test_a_read_without_another_s_save_reads_no_session(
    repository: JsonFileRepository, work: Counter[str]
) -> None:
    load(repository)
    assert not work


def test_callers_who_wait_share_one_save(
    repository: JsonFileRepository, work: Counter[str]
) -> None:
    lock = FileLock(Path(f"{repository.path}.lock"), 30)
    with ThreadPoolExecutor(8) as threads, lock.held(time.monotonic()):
        for n in range(8):
            threads.submit(change, repository, KEYS[n], entries=messages("a"))
        while len(repository._group._waiting) < 8:
            time.sleep(0.001)
    assert (work["synced files"], work["synced directories"]) == (1, 1)
    assert (work["sessions encoded"], work["entries encoded"]) == (8, 8)
    assert work["bytes written"] == size(repository)


class Groups:
    """A group commit that notes the sizes of its groups, when ``gate`` lets it."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.gate = threading.Event()
        self.group = GroupCommit(self._exclusive, self._carry_out)

    @contextmanager
    def _exclusive(self, _: float) -> Iterator[None]:
        self.gate.wait()
        yield

    def _carry_out(self, calls: Sequence[Call[None]]) -> None:
        for call in calls:
            call.run(None)
        self.sizes.append(len(calls))

    def call(self) -> None:
        self.group.run(lambda _: None, 0)

    def call_together(self, threads: ThreadPoolExecutor, number: int) -> None:
        self.gate.clear()
        calls = [threads.submit(self.call) for _ in range(number)]
        while len(self.group._waiting) < number:
            time.sleep(0.001)
        self.gate.set()
        for call in calls:
            call.result()


def test_a_leader_waits_for_those_of_the_write_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_commit, "GATHERING", 60)
    groups = Groups()
    with ThreadPoolExecutor(3) as threads:
        groups.call_together(threads, 3)
        for _ in range(3):
            threads.submit(groups.call)
            time.sleep(0.01)
    assert groups.sizes == [3, 3]


def test_a_leader_waits_in_vain_only_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_commit, "GATHERING", 0.01)
    groups = Groups()
    with ThreadPoolExecutor(3) as threads:
        groups.call_together(threads, 3)
    groups.call()
    monkeypatch.setattr(group_commit, "GATHERING", 5)
    start = time.monotonic()
    groups.call()
    assert time.monotonic() - start < 5
    assert groups.sizes == [3, 1, 1]
