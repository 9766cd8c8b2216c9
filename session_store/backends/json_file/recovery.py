"""What opening ``sessions.json`` does about a file that a crash, a disk or a person has damaged.

The newer of the file and its backup is used, if it is whole. What it replaces is kept aside, and a
warning says what happened. An edited file, one of a newer release, and one without a usable backup
stay as they are: the error says what to do. Nothing starts empty over something unreadable.
"""

from __future__ import annotations

import logging
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from session_store.backends.json_file import atomic_file
from session_store.backends.json_file.atomic_file import Fingerprint
from session_store.backends.json_file.file_lock import translated
from session_store.backends.json_file.format import (
    Contents,
    UnreadableFileError,
    decode,
    revision_in,
)
from session_store.backends.json_file.sections import Fragments
from session_store.backends.memory import SessionTable
from session_store.errors import CorruptStoreError, StoreUnavailableError

MAX_KEPT_ASIDE: Final = 3

_ADVICE: Final = ". Nothing was changed: put a good copy there, or move it away to start empty"

_log: Final = logging.getLogger(__name__)


class Snapshot(NamedTuple):
    """What is stored, as of one state of the file; ``fingerprint`` is ``None`` without a file."""

    contents: Contents
    fingerprint: Fingerprint | None
    fragments: Fragments


EMPTY: Final = Snapshot(Contents(SessionTable(), 0), None, {})


def backup_of(path: Path) -> Path:
    return Path(f"{path}.bak")


def loaded(path: Path, known: Fragments = EMPTY.fragments) -> Snapshot:
    """What the file holds; the empty snapshot when it is missing. Changes nothing."""
    found = atomic_file.read(path)
    return _decoded(*found, path, known) if found else EMPTY


def recovered(path: Path) -> Snapshot:
    """Like ``loaded``, after the backup took the place of a file that is unreadable or older."""
    try:
        current = loaded(path)
    except UnreadableFileError as error:
        return _restored(path, str(error))
    if current.fingerprint is None:
        exists = os.path.lexists(backup_of(path))
        return _restored(path, f"{path} is missing") if exists else current
    if _has_newer_backup(path, current.contents):
        return _restored(path, f"{path} is older than its backup")
    return current


def keep_original(path: Path) -> None:
    """Keep the file of the older program as ``.legacy``, or under the first such name free."""
    original = atomic_file.read(path)
    number, name = 1, Path(f"{path}.legacy")
    while original and (kept := atomic_file.read(name)):
        if kept[0] == original[0]:
            return
        number += 1
        name = Path(f"{path}.legacy-{number}")
    atomic_file.keep(path, name)


def _has_newer_backup(path: Path, current: Contents) -> bool:
    """Only by its first bytes, unless these say so. A file of the older program has no revision:
    it can't be compared and is taken for the newer one."""
    if current.is_legacy:
        return False
    try:
        head = atomic_file.fingerprint(backup_of(path))
        revision = revision_in(head.head) if head else None
        if revision is None or revision <= current.revision:
            return False
        return loaded(backup_of(path)).contents.revision == revision
    except (CorruptStoreError, StoreUnavailableError):
        return False


def _restored(path: Path, problem: str) -> Snapshot:
    """The backup is copied, not linked: what damages one of them later shall leave the other."""
    backup = backup_of(path)
    data, snapshot = _usable(backup, problem)
    aside = _set_aside(path)
    # Said before it is done: nothing but this would tell of it if the process ended in between.
    _log.warning(
        "%s. Restoring revision %d from %s; what was saved after it is lost%s",
        problem,
        snapshot.contents.revision,
        backup,
        f", but for what can be read from {aside}" if aside else "",
    )
    return snapshot._replace(fingerprint=atomic_file.replace(path, [data]))


def _usable(backup: Path, problem: str) -> tuple[bytes, Snapshot]:
    try:
        found = atomic_file.read(backup)
        if found:
            return found[0], _decoded(*found, backup, {})
    except (CorruptStoreError, StoreUnavailableError) as error:
        raise CorruptStoreError(
            f"{problem}; and its backup is of no use: {error}{_ADVICE}"
        ) from None
    raise CorruptStoreError(f"{problem}; and there is no backup {backup}{_ADVICE}")


def _decoded(data: bytes, fingerprint: Fingerprint, path: Path, known: Fragments) -> Snapshot:
    contents, fragments = decode(data, path, known)
    return Snapshot(contents, fingerprint, fragments)


def _set_aside(path: Path) -> Path | None:
    """Keep the file for whoever can still read it. The oldest make room before, so that a clock
    that was set back never costs the newest."""
    if not os.path.lexists(path):
        return None
    kept = sorted(path.parent.glob(f"{path.name}.corrupt-*"))
    with translated(path):
        for aside in kept:
            if os.path.samestat(os.lstat(aside), os.lstat(path)):
                return aside
        for old in kept[: max(0, len(kept) - MAX_KEPT_ASIDE + 1)]:
            os.unlink(old)
    name = Path(f"{path}.corrupt-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}")
    atomic_file.keep(path, name)
    return name
