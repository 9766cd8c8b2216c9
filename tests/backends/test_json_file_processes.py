"""A JSON file that several processes use, some of which are killed."""

from __future__ import annotations

import ctypes
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from session_store.backends.json_file.file_lock import FileLock
from session_store.backends.json_file.repository import JsonFileRepository
from session_store.errors import StoreUnavailableError
from session_store.testing.given import change, create, ids, load, messages
from tests.backends.processes import exit_code, forked, kill

NOBODY = 65534


def test_no_append_of_four_processes_with_eight_threads_is_lost(tmp_path: Path) -> None:
    with JsonFileRepository(tmp_path) as repository:
        create(repository)

    def write(process: int) -> None:
        with JsonFileRepository(tmp_path) as repository, ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda thread: _append(repository, f"{process}.{thread}"), range(8)))

    children = [forked(partial(write, process)) for process in range(4)]
    assert [exit_code(child) for child in children] == [0] * 4
    with JsonFileRepository(tmp_path) as repository:
        session = load(repository)
    assert len(session.entries) == 4 * 8 * 10 == session.last_seq
    for writer in {name.rpartition(".")[0] for name in ids(session)}:
        own = [name for name in ids(session) if name.startswith(f"{writer}.")]
        assert own == [f"{writer}.{number}" for number in range(10)]


def _append(repository: JsonFileRepository, writer: str) -> None:
    for number in range(10):
        change(repository, entries=messages(f"{writer}.{number}"))


def test_a_forked_child_does_not_keep_the_lock_of_its_killed_parent(tmp_path: Path) -> None:
    """The parent holds it in a thread, forks a child that lives on, and is killed."""
    reading, writing = os.pipe()

    def parent() -> None:
        with JsonFileRepository(tmp_path) as repository:
            threading.Thread(target=_hold, args=[repository], daemon=True).start()
            _wait_for((tmp_path / "held").exists)
            os.write(writing, b"%d\n" % forked(lambda: time.sleep(30)))
            time.sleep(30)

    pid = forked(parent)
    with os.fdopen(reading, "rb") as numbers:
        grandchild = int(numbers.readline())
    try:
        kill(pid)
        with JsonFileRepository(tmp_path, lock_timeout=1) as repository:
            create(repository)
    finally:
        os.kill(grandchild, 9)
        os.close(writing)


def test_a_released_lock_is_free_whoever_has_its_descriptor(tmp_path: Path) -> None:
    """A child that C code forked runs none of Python's hooks, and shares it."""
    lock = FileLock(tmp_path / "lock", 0)
    with lock.held(lock.deadline()):
        pid = ctypes.CDLL(None).fork()
        if pid == 0:
            time.sleep(30)
            os._exit(0)
    with lock.held(lock.deadline()):
        kill(pid)


def _hold(repository: JsonFileRepository) -> None:
    with FileLock(Path(f"{repository.path}.lock"), 30).held(time.monotonic()):
        (repository.path.parent / "held").touch()
        time.sleep(30)


def _wait_for(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0.001)


def test_a_reader_sees_the_saves_of_another_process(tmp_path: Path) -> None:
    with JsonFileRepository(tmp_path) as reader, JsonFileRepository(tmp_path) as writer:
        create(writer)
        for number in range(10):
            change(writer, entries=messages(str(number)))
            assert ids(load(reader))[-1] == str(number)


def test_a_child_forked_in_the_middle_of_saves_can_save(tmp_path: Path) -> None:
    names, done = [f"child {n}" for n in range(10)], threading.Event()
    with JsonFileRepository(tmp_path) as repository, ThreadPoolExecutor(4) as threads:
        create(repository)

        def save(name: str) -> None:
            change(repository, entries=messages(name))

        def save_on(thread: int) -> None:
            for number in count():
                if done.is_set():
                    return
                save(f"{thread}.{number}")

        savers = [threads.submit(save_on, thread) for thread in range(4)]
        try:
            for name in names:
                assert exit_code(forked(partial(save, name)), timeout=10) == 0
        finally:
            done.set()
        assert all(saver.exception() is None for saver in savers)
        assert set(names) <= set(ids(load(repository)))


@contextmanager
def read_only(directory: Path) -> Iterator[None]:
    """The store belongs to a user who can't write its directory; root is nobody meanwhile."""
    root = os.geteuid() == 0
    if root:
        for path in directory.iterdir():
            os.chown(path, NOBODY, NOBODY)
    directory.chmod(0o555)
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        directory.chmod(0o755)


@pytest.mark.parametrize("with_lock_file", [True, False])
def test_a_directory_that_can_not_be_written_can_be_read(with_lock_file: bool) -> None:
    with TemporaryDirectory() as name:
        directory = Path(name)
        with JsonFileRepository(directory) as repository:
            create(repository, history="a")
        if not with_lock_file:
            Path(f"{repository.path}.lock").unlink()
        with read_only(directory), JsonFileRepository(directory) as repository:
            assert ids(load(repository)) == ["e1"]
            with pytest.raises(StoreUnavailableError, match=r"sessions\.json.* is not writable"):
                change(repository, entries=messages("b"))
            assert ids(load(repository)) == ["e1"]
        with JsonFileRepository(directory) as repository:
            assert ids(change(repository, entries=messages("b"))) == ["b"]
