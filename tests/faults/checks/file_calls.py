"""File calls that fail, are cut short, or are the last thing that the process does."""

from __future__ import annotations

from errno import EDQUOT, EFBIG, EIO, EMFILE, ENOSPC, EROFS, errorcode

from tests.faults.broken_file import (
    errors_as_they_come,
    every_error_says_nothing_was_written,
    memory_before_disk,
    one_write_is_enough,
    written_in_place,
)
from tests.faults.broken_sqlite import failed_writes_are_taken_for_done, journal_in_memory
from tests.faults.frame import EVERY, Outcomes, check, compiler, spread
from tests.faults.place import Place
from tests.faults.sweep import sweeps
from tests.faults.tools.fault_process import KILL, KILLED, SHORT, Answer, Fault

OPERATIONS = {
    "file": ("create", "apply", "delete", "expire", "import", "convert"),
    "sqlite": ("create", "apply", "delete", "expire", "import"),
}
ERRORS = (ENOSPC, EDQUOT, EFBIG, EIO, EROFS, EMFILE)
FULL = {ENOSPC, EDQUOT, EFBIG}


@check(
    "F2",
    "after SIGKILL at any file call of create, apply, delete, expire, import, and of the first "
    "save over an older program's file, exactly the old or the new state is there",
    stores=["file"],
    trials=(8, EVERY),
    broken=[written_in_place],
    broken_trials=EVERY,
    needs=[compiler],
)
@check(
    "S4",
    "after SIGKILL at any file call of create, apply, delete, expire, import, exactly the old or "
    "the new state is there",
    stores=["sqlite"],
    trials=(8, EVERY),
    broken=[journal_in_memory],
    broken_trials=EVERY,
    needs=[compiler],
)
def killed_at_every_call(place: Place, trials: int) -> Outcomes:
    for sweep in sweeps(place, OPERATIONS[place.store]):
        for n in spread(range(1, len(sweep.calls()) + 1), trials):
            answer = sweep.run(n, KILL)
            found = sweep.stored()
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
@check(
    "S4",
    "after an error of any file call, once and from then on: the old state or an error that says "
    "the new one may be there, a typed error, the next save works",
    stores=["sqlite"],
    trials=(2, EVERY),
    broken=[failed_writes_are_taken_for_done],
    broken_trials=EVERY,
    needs=[compiler],
)
def errors_at_every_call(place: Place, trials: int) -> Outcomes:
    for sweep in sweeps(place, OPERATIONS[place.store]):
        for errno in ERRORS:
            for sticky in (False, True):
                fault = Fault(errno=errno, sticky=sticky, reads=errno in (EIO, EMFILE))
                for n in spread(range(1, len(sweep.calls(fault)) + 1), trials):
                    answer = sweep.run(n, fault)
                    problem = sweep.problem(answer, sticky=sticky)
                    if place.store == "file":
                        problem = problem or _unclear(errno, answer)
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
    trials=(36, 36),
    broken=[every_error_says_nothing_was_written],
    needs=[compiler],
)
def fault_after_the_rename(place: Place, trials: int) -> Outcomes:
    for sweep in sweeps(place, OPERATIONS["file"]):
        sync = sweep.calls().index("rename sessions.json") + 2
        for errno in ERRORS:
            answer = sweep.run(sync, Fault(errno=errno))
            error = answer.get("error") or ""
            fine = error.startswith("DurabilityUnknownError: ") and "visible" in error
            yield sweep.problem(answer) or (None if fine else f"{sweep.name}: {error or answer}")


@check(
    "F5",
    "a write that is cut short, whichever and from then on, is continued",
    stores=["file"],
    trials=(EVERY, EVERY),
    broken=[one_write_is_enough],
    needs=[compiler],
)
def short_writes(place: Place, trials: int) -> Outcomes:
    for sweep in sweeps(place, OPERATIONS["file"]):
        writes = [n for n, call in enumerate(sweep.calls(), 1) if call.startswith("write ")]
        for n in writes:
            for fault in (SHORT, SHORT._replace(sticky=True)):
                answer = sweep.run(n, fault)
                problem = sweep.problem(answer) or answer["error"]
                yield problem and f"{sweep.name}, call {n}: {problem}"
