"""``repair_store``: what can be read of a damaged store, in a new one; and what is lost."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from session_store.backends import Storage, sqlite_file
from session_store.clock import Clock, utc_now
from session_store.core import codec
from session_store.errors import SettingsError, StoreUnavailableError, TransferError
from session_store.maintenance.findings import OnFinding, ignore
from session_store.maintenance.rebuild import Rebuild, RepairReport
from session_store.maintenance.rules import Rules
from session_store.repository import SessionRepository
from session_store.transfer.sessions import Progress, no_progress

_NOT_A_FILE: Final = (
    "only a store in a file can be repaired; a server's database is restored from a backup of its "
    "own, and `session-store verify` says what is wrong in it"
)


def repair_store(
    source: Storage,
    destination: SessionRepository,
    aside: str | os.PathLike[str],
    *,
    on_lost: OnFinding = ignore,
    on_progress: Progress = no_progress,
    clock: Clock = utc_now,
) -> RepairReport:
    """Put what can be read of a damaged SQLite or JSON store into an empty one. The damaged one
    stays as it is; stop the application first.

    A session is taken when everything in its row is right, with its history up to the first entry
    that is lost. All else that can be read goes to the file ``aside``, a JSON object a line, which
    is made only then. ``on_lost`` is told of each thing that is not in the new store.
    ``CorruptStoreError`` when nothing can be read, ``TransferError`` when the destination is not
    empty or the file ``aside`` exists.
    """
    if source.type not in ("sqlite", "file"):
        raise SettingsError(_NOT_A_FILE)
    _check_new(destination, aside)
    file = _file(source)
    if not (file.exists() or source.type == "file"):
        raise StoreUnavailableError(f"there is no {file}; is the path right?")
    with Rebuild(str(file), _rules(source), destination, on_lost) as rebuild:
        if source.type == "sqlite":
            from session_store.maintenance.repair_sqlite import rebuild_from_database

            rebuild_from_database(file, rebuild, clock(), on_progress)
        else:
            from session_store.maintenance.repair_file import rebuild_from_file

            rebuild_from_file(file, rebuild, clock(), on_progress)
        return rebuild.finish(os.fspath(aside))


def _check_new(destination: SessionRepository, aside: str | os.PathLike[str]) -> None:
    if destination.scan(None, 1) or destination.scan_shared(None, 1):
        raise TransferError("the store to recover into is not empty; nothing was written")
    if os.path.lexists(aside):
        raise TransferError(f"{os.fspath(aside)} is there already; choose another name")


def _file(source: Storage) -> Path:
    if source.type == "sqlite":
        return Path(os.path.realpath(sqlite_file(str(source.path))))
    return Path(os.path.abspath(str(source.path)), "sessions.json")


def _rules(source: Storage) -> Rules:
    if source.type == "sqlite":
        return Rules(codec.decode_sorted_time)
    from session_store.maintenance.verify_file import stored_time

    return Rules(stored_time, lambda value, _: value)
