"""Does store operations in forked children in which one file call fails, is cut short or kills.

Started with the fault shim preloaded. The shim reads its settings at the first call that it counts,
so this process makes none: it never writes to a file, and answers through a socket. Each child has
its own settings. A fault takes some milliseconds so, where a new interpreter takes half a second.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from session_store.backends.json_file import JsonFileRepository, accept_edited_file
from session_store.errors import SessionStoreError
from session_store.testing.given import KEY, OTHERS, at, change, contents, create, messages

OPERATIONS: dict[str, Callable[[JsonFileRepository], object]] = {
    "open": lambda repository: None,
    "create": lambda repository: create(repository, OTHERS[0], history="ab"),
    "apply": lambda repository: change(
        repository, entries=messages("new"), state={"n": 1}, app_state={"x": 1}
    ),
    "delete": lambda repository: repository.delete(KEY, at(1)),
    "expire": lambda repository: repository.remove_expired(at(9, idle_cutoff=5), 10),
}


def run(operation: str, directory: Path) -> dict[str, Any]:
    """What the operation raised, what memory held after it, and whether the next save worked."""
    if operation == "accept":
        return {"error": _error(lambda: accept_edited_file(directory / "sessions.json"))}
    opened: list[JsonFileRepository] = []
    error = _error(lambda: opened.append(JsonFileRepository(directory)))
    if not opened:
        return {"error": error}
    (repository,) = opened
    return {
        "error": _error(lambda: OPERATIONS[operation](repository)),
        "memory": contents(repository),
        "next_error": _error(lambda: create(repository, OTHERS[1])),
        "memory_after_next": contents(repository),
        "temporary": [path.name for path in directory.glob(f"*.{os.getpid()}.*.tmp")],
    }


def serve(connection: socket.socket) -> None:
    """One command a line. A child that does not live to answer is answered for."""
    with connection.makefile("r") as commands:
        for line in commands:
            pid = os.fork()
            if pid == 0:
                _answer(connection, **json.loads(line))
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            if code:
                connection.sendall(json.dumps({"died": code}).encode() + b"\n")


def _answer(
    connection: socket.socket, operation: str, directory: str, settings: dict[str, str]
) -> None:
    code = 1
    try:
        os.environ.update(settings)
        connection.sendall(json.dumps(run(operation, Path(directory))).encode() + b"\n")
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


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as given:
        serve(given)
