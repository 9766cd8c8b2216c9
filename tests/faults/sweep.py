"""A sweep over the file calls of an operation: at each, the same fault on a copy of one store."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from session_store.backends.json_file.repository import JsonFileRepository
from session_store.backends.sql.sqlite.file import connected
from session_store.backends.sql.sqlite.store import open_sqlite
from session_store.errors import SessionStoreError
from session_store.repository import SessionRepository
from session_store.testing.given import KEY, change, contents, create, messages
from tests.faults.place import Place
from tests.faults.tools.fault_process import NONE, Answer, Fault, FaultProcess, fault_process

_LEGACY: Final = Path(__file__).parent / "tools" / "legacy.json"
_OPENED: Final[dict[str, Callable[[Path], SessionRepository]]] = {
    "file": JsonFileRepository,
    "sqlite": lambda directory: open_sqlite(directory / "sessions.db"),
}


class Sweep:
    """The operation ``convert`` is a ``create`` in a JSON file of the older program."""

    def __init__(self, place: Place, faults: FaultProcess, operation: str) -> None:
        self.name, self._faults, self._store = operation, faults, place.store
        self._template = place.directory / "template" / operation
        self._directory = place.directory / operation
        self._fill()
        self.old = self.stored(self._copied())
        self.new: list[str] = self.run(0, NONE)["held"]

    def run(self, n: int, fault: Fault) -> Answer:
        """With the fault at the ``n``-th call, on a fresh copy."""
        operation = "create" if self.name == "convert" else self.name
        return self._faults.run(self._store, operation, self._copied(), n, fault)

    def calls(self, fault: Fault = NONE) -> Sequence[str]:
        """Those that count for this fault."""
        found: list[str] = self.run(0, Fault(reads=fault.reads))["calls"]
        return found

    def problem(self, answer: Answer, *, sticky: bool = False) -> str | None:
        """Whether the old or the new state is there, as the error says, and nothing else."""
        if "died" in answer:
            return f"the process died with {answer['died']}"
        error, held = answer["error"] or "", answer["held"]
        wrong = {
            "another state is there": held not in _expected(error, self.old, self.new),
            "another process sees another one": answer["found"] != held,
            "the next save failed": answer["next_error"],
            "the next save did nothing": answer["held_after_next"] == held,
            "the next save is not on the disk": self.stored() != answer["held_after_next"],
            "a temporary file stays": not sticky and answer["temporary"],
            "the error does not name the file": error and "sessions." not in error,
        }
        return next((f"{text} ({error})" for text, is_so in wrong.items() if is_so), None)

    def stored(self, directory: Path | None = None) -> list[str]:
        """What is there for a process that opens the store, and what it left undone."""
        directory = directory or self._directory
        try:
            with _OPENED[self._store](directory) as repository:
                held = contents(repository)
        except SessionStoreError as error:
            return [f"{type(error).__name__}: {error}"]
        left = [path.name for path in directory.iterdir() if path.suffix not in ENDINGS]
        return [*held, *left, *_inconsistencies(directory / "sessions.db")]

    def _fill(self) -> None:
        with _OPENED[self._store](self._template) as repository:
            create(repository, history="abc", metadata={"title": "old"})
            create(repository, KEY._replace(session_id="live"), seconds=7)
            change(repository, entries=messages("m1"), app_state={"x": 0})
        if self._store == "file":
            (self._template / "sessions.json.9.0123456789abcdef.tmp").touch()
        if self.name == "convert":
            shutil.copy(_LEGACY, self._template / "sessions.json")
            (self._template / "sessions.json.bak").unlink()

    def _copied(self) -> Path:
        shutil.rmtree(self._directory, ignore_errors=True)
        return Path(shutil.copytree(self._template, self._directory))


ENDINGS: Final = {".json", ".bak", ".lock", ".legacy", ".db", ".db-wal", ".db-shm"}


def sweeps(place: Place, operations: Sequence[str]) -> Iterator[Sweep]:
    with fault_process(place.broken) as faults:
        for operation in operations:
            yield Sweep(place, faults, operation)


def _expected(error: str, old: list[str], new: list[str]) -> list[list[str]]:
    if not error or error.startswith("DurabilityUnknownError"):
        return [new]
    return [old, new] if error.startswith("OutcomeUnknownError") else [old]


def _inconsistencies(database: Path) -> list[str]:
    if not database.exists():
        return []
    with closing(connected(database, 1)) as connection:
        found = connection.execute("PRAGMA integrity_check").fetchall()
        found += connection.execute("PRAGMA foreign_key_check").fetchall()
    return [] if found == [("ok",)] else [repr(found)]
