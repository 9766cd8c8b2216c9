"""The JSON file, whose file calls fail, are cut short, or are the last thing the process does."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from errno import EDQUOT, EFBIG, EIO, EMFILE, ENOSPC, EROFS, errorcode
from pathlib import Path
from typing import Any

from session_store.backends.json_file import JsonFileRepository
from session_store.errors import SessionStoreError
from session_store.testing.given import KEY, change, contents, create, messages
from tests.faults.broken_file import (
    errors_as_they_come,
    every_error_says_nothing_was_written,
    memory_before_disk,
    one_write_is_enough,
    written_in_place,
)
from tests.faults.frame import EVERY, Outcomes, check, compiler, spread
from tests.faults.place import Place
from tests.faults.tools.fault_process import KILL, KILLED, NONE, SHORT, Answer, Fault, fault_process

LEGACY = Path(__file__).parents[1] / "tools" / "legacy.json"
OPERATIONS = ("create", "apply", "delete", "expire", "convert")
ERRORS = (ENOSPC, EDQUOT, EFBIG, EIO, EROFS, EMFILE)
FULL = {ENOSPC, EDQUOT, EFBIG}


class Copies:
    """Copies of one store, one for each fault; what ``convert`` writes to is an older program's."""

    def __init__(self, place: Place, operation: str) -> None:
        self._directory, self._place = place.directory / operation, place
        self.template = place.directory / "template" / operation
        with JsonFileRepository(self.template) as repository:
            create(repository, history="abc", metadata={"title": "old"})
            create(repository, KEY._replace(session_id="live"), seconds=7)
            change(repository, entries=messages("m1"), app_state={"x": 0})
        (self.template / "sessions.json.9.0123456789abcdef.tmp").touch()
        if operation == "convert":
            shutil.copy(LEGACY, self.template / "sessions.json")
            (self.template / "sessions.json.bak").unlink()

    def copy(self) -> Path:
        shutil.rmtree(self._directory, ignore_errors=True)
        return Path(shutil.copytree(self.template, self._directory))


def stored(directory: Path) -> list[str]:
    """What another process finds, who also sweeps and repairs."""
    try:
        with JsonFileRepository(directory) as repository:
            return [*contents(repository), *(path.name for path in directory.glob("*.tmp"))]
    except SessionStoreError as error:
        return [f"{type(error).__name__}: {error}"]


class Sweep:
    """One operation, again and again with a fault at another call of it."""

    def __init__(self, place: Place, faults: Any, operation: str) -> None:
        self._copies, self._faults = Copies(place, operation), faults
        self._does = "create" if operation == "convert" else operation
        self.name = operation
        self.old = stored(self._copies.copy())
        self.new: list[str] = self.run(0, Fault(reads=True))["held"]

    def run(self, n: int, fault: Fault) -> Answer:
        self.directory = self._copies.copy()
        answer: Answer = self._faults.run("file", self._does, self.directory, n, fault)
        return answer

    def calls(self, fault: Fault = NONE) -> Sequence[str]:
        """Those that count for this fault."""
        found: list[str] = self.run(0, Fault(reads=fault.reads))["calls"]
        return found

    def problem(self, answer: Answer, *, sticky: bool = False) -> str | None:
        """Whether the old or the new state is there, as the error says, and nothing else."""
        found = stored(self.directory)
        if "died" in answer:
            return f"the process died with {answer['died']}"
        error = answer["error"] or ""
        is_new = not error or error.startswith("DurabilityUnknownError")
        wrong = {
            "memory holds another state": answer["held"] != (self.new if is_new else self.old),
            "the disk holds another state than memory": answer["found"] != answer["held"],
            "the next save failed": answer["next_error"],
            "the next save did nothing": answer["held_after_next"] == answer["held"],
            "the next save is not on the disk": found != answer["held_after_next"],
            "a temporary file stays": not sticky and answer["temporary"],
            "the error does not name the file": error and "sessions.json" not in error,
        }
        return next((f"{text} ({error})" for text, is_so in wrong.items() if is_so), None)


def sweeps(place: Place) -> Iterator[Sweep]:
    with fault_process(place.broken) as faults:
        for operation in OPERATIONS:
            yield Sweep(place, faults, operation)


@check(
    "F2",
    "after SIGKILL at any file call of create, apply, delete, expire, convert, exactly the old or "
    "the new state is there",
    stores=["file"],
    trials=(8, EVERY),
    broken=[written_in_place],
    broken_trials=EVERY,
    needs=[compiler],
)
def killed_at_every_call(place: Place, trials: int) -> Outcomes:
    for sweep in sweeps(place):
        for n in spread(range(1, len(sweep.calls()) + 1), trials):
            answer = sweep.run(n, KILL)
            found = stored(sweep.directory)
            fine = answer == KILLED and found in (sweep.old, sweep.new)
            yield None if fine else f"{sweep.name}, call {n}: {answer}, {found}"


@check(
    "F3",
    "after an error of any file call, once and from then on: the old state or an error that says "
    "the new one is there, memory equals the disk, a typed error, the next save works",
    stores=["file"],
    trials=(2, EVERY),
    broken=[errors_as_they_come, memory_before_disk, written_in_place],
    broken_trials=EVERY,
    needs=[compiler],
)
def errors_at_every_call(place: Place, trials: int) -> Outcomes:
    for sweep in sweeps(place):
        for errno in ERRORS:
            for sticky in (False, True):
                fault = Fault(errno=errno, sticky=sticky, reads=errno in (EIO, EMFILE))
                for n in spread(range(1, len(sweep.calls(fault)) + 1), trials):
                    answer = sweep.run(n, fault)
                    problem = sweep.problem(answer, sticky=sticky) or _unclear(errno, answer)
                    yield problem and f"{sweep.name}, call {n}, {errorcode[errno]}: {problem}"


def _unclear(errno: int, answer: Answer) -> str | None:
    error = answer["error"]
    if not error or error.startswith("DurabilityUnknown"):
        return None
    return None if ("disk is full" in error) == (errno in FULL) else f"unclear: {error}"


@check(
    "F4",
    "a fault after the rename is the error that says: visible, durability unknown",
    stores=["file"],
    trials=(30, 30),
    broken=[every_error_says_nothing_was_written],
    needs=[compiler],
)
def fault_after_the_rename(place: Place, trials: int) -> Outcomes:
    for sweep in sweeps(place):
        sync = sweep.calls().index("rename sessions.json") + 2
        for errno in ERRORS:
            answer = sweep.run(sync, Fault(errno=errno))
            error = answer.get("error") or ""
            fine = error.startswith("DurabilityUnknownError: ") and "visible" in error
            yield sweep.problem(answer) or (None if fine else f"{sweep.name}: {error or answer}")


@check(
    "F5",
    "a write that is cut short is continued, at whichever write",
    stores=["file"],
    trials=(1, EVERY),
    broken=[one_write_is_enough],
    needs=[compiler],
)
def short_writes(place: Place, trials: int) -> Outcomes:
    for sweep in sweeps(place):
        writes = [n for n, call in enumerate(sweep.calls(), 1) if call.startswith("write ")]
        for n in writes:
            for fault in (SHORT, SHORT._replace(sticky=True)):
                answer = sweep.run(n, fault)
                problem = sweep.problem(answer) or answer["error"]
                yield problem and f"{sweep.name}, call {n}: {problem}"
