"""Every file call of every write: failing, cut short, or the last thing that the process does.

After each, exactly the old or the new state is there, the error tells which, memory equals the
disk, no temporary file stays, and the next save works.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from errno import EDQUOT, EFBIG, EIO, EMFILE, ENOSPC, EPERM, EROFS
from pathlib import Path
from typing import Any

import pytest

from session_store.backends.json_file import JsonFileRepository, accept_edited_file
from session_store.testing.given import KEY, change, contents, create, messages
from tests.backends.places import quick_directory

FAULTS = Path(__file__).parents[1] / "faults"
MAIN, BACKUP = "sessions.json", "sessions.json.bak"
KILLED = {"died": -9}

Answer = dict[str, Any]


class FaultServer:
    """A process in which store operations meet faults, each in a fork of it."""

    def __init__(self, shim: Path, log: Path) -> None:
        self._log = log
        ours, theirs = socket.socketpair()
        self._process = subprocess.Popen(
            [sys.executable, "-B", FAULTS / "fault_server.py", str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            env=os.environ | {"LD_PRELOAD": str(shim), "PYTHONPATH": str(FAULTS.parents[1])},
        )
        theirs.close()
        self._socket, self._answers = ours, ours.makefile("r")

    def run(self, operation: str, directory: Path, n: int = 0, **settings: object) -> Answer:
        """Do ``operation`` with a fault at the ``n``-th file call; with none when that is 0."""
        self._log.unlink(missing_ok=True)
        fault = {"dir": directory, "log": self._log, "at": n} | settings
        command = {
            "operation": operation,
            "directory": str(directory),
            "settings": {f"FAULT_{name.upper()}": str(value) for name, value in fault.items()},
        }
        self._socket.sendall(json.dumps(command).encode() + b"\n")
        answer: Answer = json.loads(self._answers.readline())
        return answer

    def calls(self) -> list[str]:
        """Those of the last operation and of the save after it, each as ``n call file``."""
        return self._log.read_text().splitlines()

    def close(self) -> None:
        self._answers.close()
        self._socket.close()
        self._process.wait()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultServer]:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("the fault shim needs Linux and a C compiler")
    directory = tmp_path_factory.mktemp("faults")
    command = [compiler, "-O1", "-w", "-shared", "-fPIC", "-o", "shim.so"]
    subprocess.run([*command, FAULTS / "fault_shim.c", "-ldl"], check=True, cwd=directory)
    server = FaultServer(directory / "shim.so", directory / "calls")
    yield server
    server.close()


class Stores:
    """Copies of one store, one for each fault."""

    def __init__(self, directory: Path) -> None:
        self._directory, self._count = directory, 0
        self.template = directory / "template"
        with JsonFileRepository(self.template) as repository:
            create(repository, history="abc", metadata={"title": "old"})
            create(repository, KEY._replace(session_id="live"), seconds=7)
            change(repository, entries=messages("m1"), app_state={"x": 0})
        (self.template / "sessions.json.9.0123456789abcdef.tmp").touch()
        (self.template / "sessions.json.bak.9.0123456789abcdef.tmp").touch()

    def copy(self) -> Path:
        self._count += 1
        return Path(shutil.copytree(self.template, self._directory / f"{self._count:04}"))

    def damage(self) -> None:
        (self.template / MAIN).write_bytes(b"corrupt")

    def edit(self) -> None:
        path = self.template / MAIN
        path.write_bytes(path.read_bytes().replace(b"old", b"new"))

    def make_legacy(self) -> None:
        shutil.copy(FAULTS / "legacy.json", self.template / MAIN)
        (self.template / BACKUP).unlink()


@pytest.fixture
def stores() -> Iterator[Stores]:
    with quick_directory() as directory:
        yield Stores(directory)


def stored(directory: Path) -> list[str]:
    """What another process finds, who also sweeps and repairs."""
    with JsonFileRepository(directory) as repository:
        assert not list(directory.glob("*.tmp"))
        return contents(repository)


FAULT_MODES: dict[str, dict[str, object]] = {
    "ENOSPC": {"errno": ENOSPC},
    "ENOSPC from then on": {"errno": ENOSPC, "sticky": 1},
    "EIO": {"errno": EIO},
    "kill": {"mode": "kill"},
}


@pytest.mark.parametrize("fault", FAULT_MODES.values(), ids=list(FAULT_MODES))
@pytest.mark.parametrize("operation", ["create", "apply", "delete", "expire", "create over legacy"])
def test_the_old_or_the_new_state_is_there(
    server: FaultServer, stores: Stores, operation: str, fault: dict[str, object]
) -> None:
    if operation == "create over legacy":
        stores.make_legacy()
        operation = "create"
    original = (stores.template / MAIN).read_bytes()
    old, new = stored(stores.copy()), server.run(operation, stores.copy())["memory"]
    for n in range(1, _calls_of_operation(server) + 1):
        directory = stores.copy()
        answer = server.run(operation, directory, n, **fault)
        found = stored(directory)
        if answer == KILLED:
            assert found in (old, new)
        else:
            _check_answer(answer, found, old, new, is_sticky="sticky" in fault)
        if b"last_updated" in original and found != old:
            assert (directory / f"{MAIN}.legacy").read_bytes() == original


def _calls_of_operation(server: FaultServer) -> int:
    """Without those of the next save, which begins by opening the lock."""
    calls = server.calls()
    return [n for n, call in enumerate(calls) if call.endswith(".lock")][-1]


def _check_answer(
    answer: Answer, found: list[str], old: list[str], new: list[str], *, is_sticky: bool
) -> None:
    error = answer["error"] or ""
    assert MAIN in error or not error
    if "memory" not in answer:
        assert error.startswith(
            ("StoreUnavailableError: ", "NotWritableError: ", "DiskFullError: ")
        )
        assert found == old
        return
    is_new = not error or error.startswith("DurabilityUnknownError")
    assert answer["memory"] == (new if is_new else old)
    assert found == answer["memory_after_next"]
    assert is_sticky or not answer["temporary"]
    assert bool(answer["next_error"]) == is_sticky
    assert (answer["memory_after_next"] == answer["memory"]) == bool(answer["next_error"])


def test_a_save_makes_these_calls_in_this_order(server: FaultServer, stores: Stores) -> None:
    directory = stores.copy()
    server.run("apply", directory)
    calls = [call.split(" ", 1)[1].replace(str(directory), "") for call in server.calls()]
    begin = _calls_of_operation(server)
    assert [re.sub(r"\.\d+\.[0-9a-f]{16}|fd\d+", "", call) for call in calls[begin:]] == [
        "open /sessions.json.lock",
        "open ",
        "open /sessions.json.tmp",
        "write ",
        "write ",
        "fsync ",
        "linkat /sessions.json.tmp",
        "rename /sessions.json.bak",
        "rename /sessions.json",
        "fsync ",
    ]


@pytest.mark.parametrize("errno", [EDQUOT, EFBIG, EROFS, EMFILE])
def test_each_error_is_typed(server: FaultServer, stores: Stores, errno: int) -> None:
    old, new = stored(stores.copy()), server.run("apply", stores.copy())["memory"]
    for n in range(1, _calls_of_operation(server) + 1):
        directory = stores.copy()
        answer = server.run("apply", directory, n, errno=errno)
        if "memory" in answer:
            _check_answer(answer, stored(directory), old, new, is_sticky=False)
        if errno != EROFS and answer["error"] and "DurabilityUnknown" not in answer["error"]:
            assert ("disk is full" in answer["error"]) == (errno != EMFILE)


def test_a_write_that_is_cut_short_is_continued(server: FaultServer, stores: Stores) -> None:
    new = server.run("apply", stores.copy())["memory"]
    directory = stores.copy()
    answer = server.run("apply", directory, _calls(server, " write ")[0], mode="short")
    assert (answer["error"], answer["memory"]) == (None, new)
    assert stored(directory) == answer["memory_after_next"]


def test_a_fault_after_the_rename_is_an_error_of_its_own(
    server: FaultServer, stores: Stores
) -> None:
    new = server.run("apply", stores.copy())["memory"]
    renames = _calls(server, " rename ")
    answer = server.run("apply", stores.copy(), renames[1] + 1, errno=EIO)
    assert answer["error"].startswith("DurabilityUnknownError: ")
    assert "visible" in answer["error"]
    assert answer["memory"] == new


def test_where_links_are_impossible_the_backup_is_copied(
    server: FaultServer, stores: Stores
) -> None:
    new = server.run("apply", stores.copy())["memory"]
    writes = _calls(server, " write ")
    answer = server.run("apply", stores.copy(), _calls(server, " link")[0], errno=EPERM)
    assert (answer["error"], answer["memory"], answer["next_error"]) == (None, new, None)
    assert len(_calls(server, " write ")) == len(writes) + 1


def _calls(server: FaultServer, part: str) -> list[int]:
    return [int(call.split()[0]) for call in server.calls() if part in call]


@pytest.mark.parametrize("fault", FAULT_MODES.values(), ids=list(FAULT_MODES))
def test_a_repair_that_breaks_off_is_done_by_the_next_opening(
    server: FaultServer, stores: Stores, fault: dict[str, object]
) -> None:
    stores.damage()
    repaired = stored(stores.copy())
    server.run("open", stores.copy())
    for n in range(1, _calls_of_operation(server) + 1):
        directory = stores.copy()
        answer = server.run("open", directory, n, **fault)
        assert answer == KILLED or answer["error"] or answer["memory"] == repaired
        assert stored(directory)[: len(repaired)] == repaired or not answer["error"]
        assert {path.read_bytes() for path in directory.glob("*.corrupt-*")} == {b"corrupt"}


@pytest.mark.parametrize("fault", FAULT_MODES.values(), ids=list(FAULT_MODES))
def test_an_acceptance_that_breaks_off_can_be_repeated(
    server: FaultServer, stores: Stores, fault: dict[str, object]
) -> None:
    stores.edit()
    accepted = stores.copy()
    server.run("accept", accepted)
    new = stored(accepted)
    backup = (stores.template / BACKUP).read_bytes()
    for n in range(1, len(server.calls()) + 1):
        directory = stores.copy()
        server.run("accept", directory, n, **fault)
        accept_edited_file(directory / MAIN)
        assert stored(directory) == new
        assert (directory / BACKUP).read_bytes() == backup
