"""Sessions on the move: processes that are killed on the way, and archives that are hostile."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any
from unittest.mock import patch

from session_store.backends.memory import MemoryRepository
from session_store.errors import CorruptStoreError, ExportFormatError
from session_store.repository import SessionRepository
from session_store.testing.given import KEY, OTHERS, change, create
from session_store.transfer import export_sessions, files, import_sessions, importing
from tests.faults.frame import EVERY, Outcomes, check, compiler, spread
from tests.faults.place import Place
from tests.faults.tools.fault_process import KILL, KILLED, FaultProcess, fault_process
from tests.transfer.hostile import HOSTILE, Damage, mutated
from tests.transfer.support import held


@contextmanager
def an_export_that_grows_in_its_place() -> Iterator[None]:
    def write(path: Any, lines: Any, **_: Any) -> int:
        with Path(path).open("wb", buffering=0) as file:
            return sum(map(file.write, lines))

    with patch.object(files, "write", write):
        yield


@contextmanager
def sessions_are_imported_one_by_one() -> Iterator[None]:
    """Each a transaction of its own."""
    with patch.object(importing, "_batches", lambda found: ([one] for one in found)):
        yield


@contextmanager
def nothing_is_checked_before() -> Iterator[None]:
    """What is read is written at once."""
    with (
        patch.object(importing._Importer, "check", lambda *_: None),
        sessions_are_imported_one_by_one(),
    ):
        yield


def stocked(store: SessionRepository) -> None:
    for key in (KEY, OTHERS[0]):
        create(store, key, history=["a", "b"])
    change(store, app_state={"a": 1})


class _Store:
    """One in a file, in fresh copies of one directory with an archive of other sessions."""

    def __init__(self, place: Place, faults: FaultProcess) -> None:
        self._place, self._faults = place, faults
        self._template = place.another()
        with self._template.open() as store, MemoryRepository() as other:
            stocked(store)
            for key in (OTHERS[1], OTHERS[2]):
                create(other, key, history=[1, 2, 3])
            export_sessions(other, self._template.directory / "import.jsonl")
            export_sessions(store, self._template.directory / "export.jsonl")

    def run(self, operation: str, n: int = 0) -> tuple[dict[str, Any], Place]:
        """What came of it, and where; killed at the ``n``-th file call, if that is not 0."""
        copy = self.copied()
        answer = self._faults.run(self._place.store, operation, copy.directory, n, KILL)
        return answer, copy

    def copied(self) -> Place:
        copy = self._place.another()
        shutil.copytree(self._template.directory, copy.directory, dirs_exist_ok=True)
        return copy

    def calls(self, operation: str) -> int:
        return len(self.run(operation)[0]["calls"])


def _held_in(place: Place) -> list[str]:
    with place.open() as store:
        return held(store)


@check(
    "X7",
    "an export killed at any file call is the old file or the new one, whole",
    stores=["file", "sqlite"],
    trials=(6, EVERY),
    broken=[an_export_that_grows_in_its_place],
    needs=[compiler],
)
def killed_exports(place: Place, trials: int) -> Outcomes:
    with fault_process(place.broken) as faults:
        template = _Store(place, faults)
        for n in spread(range(1, template.calls("export") + 1), trials):
            answer, killed = template.run("export", n)
            with MemoryRepository() as memory:
                try:
                    import_sessions(killed.directory / "export.jsonl", memory)
                    right = answer == KILLED and held(memory) == _held_in(killed)
                except ExportFormatError as error:
                    right, answer = False, {"error": str(error)}
            yield None if right else f"call {n}: {answer}"


@check(
    "X7",
    "an import killed at any file call has done all or nothing of it, and done again it is whole",
    stores=["file", "sqlite"],
    trials=(6, EVERY),
    broken=[sessions_are_imported_one_by_one],
    broken_trials=EVERY,
    needs=[compiler],
)
def killed_imports(place: Place, trials: int) -> Outcomes:
    """The archive is one batch."""
    with fault_process(place.broken) as faults:
        template = _Store(place, faults)
        old, new = _held_in(template.copied()), _held_in(template.run("import beside")[1])
        for n in spread(range(1, template.calls("import beside") + 1), trials):
            answer, killed = template.run("import beside", n)
            found = _held_in(killed)
            with killed.open() as store:
                import_sessions(killed.directory / "import.jsonl", store)
                right = answer == KILLED and found in (old, new) and held(store) == new
            yield None if right else f"call {n}: {answer}, {found}"


@check(
    "X7",
    "a hostile archive is refused before anything is written; if not, its sessions are sound",
    stores=["memory", "file", "sqlite", "postgresql"],
    trials=(len(HOSTILE) + 100, 5000),
    broken=[nothing_is_checked_before],
)
def hostile_archives(place: Place, trials: int) -> Outcomes:
    good = place.directory / "good.jsonl"
    with MemoryRepository() as memory:
        stocked(memory)
        export_sessions(memory, good)
    with place.open() as store:
        for name, damage in islice(_damages(), trials):
            bad = place.directory / "bad.jsonl"
            bad.write_bytes(damage(good.read_bytes()))
            problem = _import_problem(store, bad)
            yield f"{name}: {problem}" if problem else None


def _damages() -> Iterator[tuple[str, Damage]]:
    chance = random.Random(7)
    yield from ((name, damage) for name, (damage, _) in HOSTILE.items())
    while True:
        yield "a value changed", lambda text: mutated(text, chance)


def _import_problem(store: SessionRepository, bad: Path) -> str | None:
    before = held(store)
    try:
        import_sessions(bad, store, on_conflict="replace")
    except (ExportFormatError, CorruptStoreError):
        return None if held(store) == before else "refused, but something is written"
    except Exception as error:  # noqa: BLE001 - no other error is right
        return f"{error!r}"
    return _moved_problem(store, bad.with_name("again.jsonl"))


def _moved_problem(store: SessionRepository, path: Path) -> str | None:
    """What was taken can be moved on."""
    export_sessions(store, path, overwrite=True)
    with MemoryRepository() as memory:
        import_sessions(path, memory)
        return None if held(memory) == held(store) else "what was imported can't be moved on"
