"""Does store operations in forked children in which one file call fails, is cut short or kills.

Started by ``fault_process`` with the fault shim preloaded. Each command is done in a fork, which
takes some milliseconds where a new interpreter takes half a second.
"""

from __future__ import annotations

import ctypes
import json
import logging
import os
import socket
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NoReturn

from session_store.backends.json_file.repository import JsonFileRepository, accept_edited_file
from session_store.backends.memory import MemoryRepository
from session_store.backends.sql.sqlite.store import open_sqlite
from session_store.errors import SessionStoreError
from session_store.repository import SessionRepository
from session_store.testing.given import KEY, OTHERS, at, change, contents, create, messages
from session_store.transfer.exporting import export_sessions
from session_store.transfer.importing import import_sessions

OPERATIONS: dict[str, Callable[[SessionRepository], object]] = {
    "create": lambda repository: create(repository, OTHERS[0], history="ab"),
    "apply": lambda repository: change(
        repository, entries=messages("new"), state={"n": 1}, app_state={"x": 1}
    ),
    "delete": lambda repository: repository.delete(KEY, at(1)),
    "expire": lambda repository: repository.remove_expired(at(9, idle_cutoff=5), 10),
    "export": lambda repository: export_sessions(
        repository, _beside(repository) / "export.jsonl", overwrite=True
    ),
    "import": lambda repository: import_sessions(os.environ["EXPORTED"], repository),
    "import beside": lambda repository: import_sessions(
        _beside(repository) / "import.jsonl", repository
    ),
}


def _beside(repository: Any) -> Path:
    """The directory of a store in a file."""
    return Path(repository.path).parent


OPENED: dict[str, Callable[[Path], SessionRepository]] = {
    "file": JsonFileRepository,
    "sqlite": lambda directory: open_sqlite(directory / "sessions.db"),
}

_shim: Any = ctypes.CDLL(None)
_shim.fault_disarm.restype = ctypes.c_char_p


def run(store: str, operation: str, directory: Path, fault: list[int]) -> dict[str, Any]:
    """What the operation raised and which calls it made; then, without a fault, what the store
    holds, and whether the next save works."""

    def opened() -> SessionRepository:
        return OPENED[store](directory)

    if operation == "accept":
        return attempt(lambda: accept_edited_file(directory / "sessions.json"), directory, fault)
    if operation == "open":
        answer = attempt(lambda: opened().close(), directory, fault)
        with opened() as repository:
            return answer | _afterwards(repository, opened, directory)
    with opened() as repository:
        answer = attempt(lambda: OPERATIONS[operation](repository), directory, fault)
        return answer | _afterwards(repository, opened, directory)


def attempt(work: Callable[[], object], directory: Path, fault: list[int]) -> dict[str, Any]:
    """``fault``: at which call, in which mode, with which errno; sticky or not, reads or not."""
    _shim.fault_arm(os.fsencode(directory), *fault)
    try:
        error = _error(work)
    finally:
        calls = _shim.fault_disarm()
    return {"error": error, "calls": os.fsdecode(calls).splitlines()}


def _afterwards(
    repository: SessionRepository, opened: Callable[[], SessionRepository], directory: Path
) -> dict[str, Any]:
    temporary = [path.name for path in directory.glob(f"*.{os.getpid()}.*.tmp")]
    held = contents(repository)
    with opened() as another:
        found = contents(another)
    return {
        "temporary": temporary,
        "held": held,
        "found": found,
        "next_error": _error(lambda: create(repository, OTHERS[2])),
        "held_after_next": contents(repository),
    }


def serve(connection: socket.socket) -> None:
    """One command a line. A child that does not live to answer is answered for."""
    with connection.makefile("r") as commands:
        for line in commands:
            pid = os.fork()
            if pid == 0:
                _answer(connection, json.loads(line))
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            if code:
                connection.sendall(json.dumps({"died": code}).encode() + b"\n")


def _answer(connection: socket.socket, command: dict[str, Any]) -> NoReturn:
    code = 1
    try:
        answer = run(**command | {"directory": Path(command["directory"])})
        connection.sendall(json.dumps(answer).encode() + b"\n")
        code = 0
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        os._exit(code)


def _error(work: Callable[[], object]) -> str | None:
    try:
        work()
    except SessionStoreError as error:
        return f"{type(error).__name__}: {error}"
    return None


@contextmanager
def broken(variant: str) -> Iterator[None]:
    """Within the ``module:function`` that breaks the store; nothing is broken without a name."""
    module, _, name = variant.partition(":")
    with getattr(import_module(module), name)() if name else nullcontext():
        yield


@contextmanager
def exported() -> Iterator[None]:
    """The file that is imported: two sessions, which become one transaction."""
    with TemporaryDirectory() as directory, MemoryRepository() as repository:
        for key in OTHERS[:2]:
            create(repository, key, history="ab", state={"n": 1})
        os.environ["EXPORTED"] = f"{directory}/two.jsonl"
        export_sessions(repository, os.environ["EXPORTED"])
        yield


if __name__ == "__main__":
    logging.disable()
    with socket.socket(fileno=int(sys.argv[1])) as given, exported(), broken(sys.argv[2]):
        serve(given)
