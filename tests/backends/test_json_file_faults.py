"""Peculiar faults of the JSON file; those of the list are in ``tests/faults``."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from errno import EIO, ENOSPC, EPERM
from pathlib import Path

import pytest

from session_store.backends.json_file.repository import JsonFileRepository, accept_edited_file
from session_store.testing.given import change, contents, create, messages
from tests.backends.places import quick_directory
from tests.faults.frame import compiler
from tests.faults.tools.fault_process import (
    KILL,
    KILLED,
    Answer,
    Fault,
    FaultProcess,
    fault_process,
)

MAIN, BACKUP = "sessions.json", "sessions.json.bak"
FAULTS = {
    "ENOSPC": Fault(errno=ENOSPC),
    "ENOSPC from then on": Fault(errno=ENOSPC, sticky=True),
    "EIO": Fault(errno=EIO),
    "kill": KILL,
}


@pytest.fixture(scope="module")
def faults() -> Iterator[FaultProcess]:
    if missing := compiler():
        pytest.skip(missing)
    with fault_process() as faults:
        yield faults


class Stores:
    """Copies of one store, one for each fault."""

    def __init__(self, directory: Path) -> None:
        self._directory, self._count = directory, 0
        self.template = directory / "template"
        with JsonFileRepository(self.template) as repository:
            create(repository, history="abc", metadata={"title": "old"})
            change(repository, entries=messages("m1"))

    def copy(self) -> Path:
        self._count += 1
        return Path(shutil.copytree(self.template, self._directory / f"{self._count:04}"))


@pytest.fixture
def stores() -> Iterator[Stores]:
    with quick_directory() as directory:
        yield Stores(directory)


def stored(directory: Path) -> list[str]:
    with JsonFileRepository(directory) as repository:
        return contents(repository)


def test_a_save_makes_these_calls_in_this_order(faults: FaultProcess, stores: Stores) -> None:
    calls = faults.run("file", "apply", stores.copy())["calls"]
    assert [re.sub(r"\.\d+\.[0-9a-f]{16}", "", call) for call in calls] == [
        "open sessions.json.lock",
        "open ",
        "open sessions.json.tmp",
        "fchmod sessions.json.tmp",
        "write sessions.json.tmp",
        "fsync sessions.json.tmp",
        "linkat sessions.json.tmp",
        "rename sessions.json.bak",
        "rename sessions.json",
        "fsync ",
    ]


def test_where_links_are_impossible_the_backup_is_copied(
    faults: FaultProcess, stores: Stores
) -> None:
    whole = faults.run("file", "apply", stores.copy())
    link = next(n for n, call in enumerate(whole["calls"], 1) if call.startswith("linkat "))
    answer = faults.run("file", "apply", stores.copy(), link, Fault(errno=EPERM))
    assert (answer["error"], answer["held"], answer["next_error"]) == (None, whole["held"], None)
    assert writes(answer) == writes(whole) + 1


def writes(answer: Answer) -> int:
    return sum(call.startswith("write ") for call in answer["calls"])


@pytest.mark.parametrize("fault", FAULTS.values(), ids=list(FAULTS))
def test_a_repair_that_breaks_off_is_done_by_the_next_opening(
    faults: FaultProcess, stores: Stores, fault: Fault
) -> None:
    (stores.template / MAIN).write_bytes(b"corrupt")
    repaired = stored(stores.copy())
    for n in range(1, len(faults.run("file", "open", stores.copy())["calls"]) + 1):
        directory = stores.copy()
        answer = faults.run("file", "open", directory, n, fault)
        assert answer == KILLED or answer["held"] == repaired
        assert stored(directory) == answer.get("held_after_next", repaired)
        assert {path.read_bytes() for path in directory.glob("*.corrupt-*")} == {b"corrupt"}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=list(FAULTS))
def test_an_acceptance_that_breaks_off_can_be_repeated(
    faults: FaultProcess, stores: Stores, fault: Fault
) -> None:
    path = stores.template / MAIN
    path.write_bytes(path.read_bytes().replace(b"old", b"new"))
    accepted = stores.copy()
    calls = faults.run("file", "accept", accepted)["calls"]
    new, backup = stored(accepted), (stores.template / BACKUP).read_bytes()
    for n in range(1, len(calls) + 1):
        directory = stores.copy()
        faults.run("file", "accept", directory, n, fault)
        accept_edited_file(directory / MAIN)
        assert stored(directory) == new
        assert (directory / BACKUP).read_bytes() == backup
