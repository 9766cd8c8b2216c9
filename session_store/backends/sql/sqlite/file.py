"""The file of an SQLite store: where it is, whether it is whole, how a new one comes into being."""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from session_store.backends.json_file import atomic_file
from session_store.backends.sql.sqlite.errors import is_busy
from session_store.errors import CorruptStoreError, SettingsError, StoreUnavailableError

MODE: Final = 0o600
_SMALLEST: Final = 512
"""Bytes of the smallest database. SQLite takes a file of 0 or 1 for a new one; ours never is."""
_PATIENCE: Final = 30.0
_NEW: Final = ".session_store-"
_SUFFIXES: Final = ("", "-journal", "-wal", "-shm")
_NO_LINKS: Final = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}


def located(path: str | os.PathLike[str]) -> Path:
    """The absolute path of a store's file, with symbolic links followed as SQLite does."""
    try:
        return Path(os.path.realpath(path))
    except ValueError as error:
        raise SettingsError(f"no path of a store: {error}") from None


def connected(path: Path, patience: float) -> sqlite3.Connection:
    """A connection to an existing file, in whose transactions the driver does not meddle."""
    return sqlite3.connect(
        f"{path.as_uri()}?mode=rw",
        uri=True,
        timeout=patience,
        isolation_level=None,
        check_same_thread=False,
    )


def looking(path: Path, patience: float) -> sqlite3.Connection:
    """A connection to an existing file that changes nothing in it.

    One that may only read leaves an empty log behind, and one that may write would put the log of
    a killed process into the file: each is used where it does neither.
    """
    mode = "ro" if _size(path.with_name(f"{path.name}-wal")) else "rw"
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    connection = sqlite3.connect(uri, uri=True, timeout=patience, isolation_level=None)
    connection.execute("PRAGMA query_only = ON")
    return connection


def exists(path: Path) -> bool:
    """Whether a file is there; ``CorruptStoreError`` when it is too small for a database."""
    with reported(path):
        try:
            status = path.stat()
        except FileNotFoundError:
            return False
    if not stat.S_ISREG(status.st_mode):
        raise StoreUnavailableError(f"{path} is not a file: use a path for one")
    if status.st_size < _SMALLEST:
        raise CorruptStoreError(
            f"{path} has {status.st_size} bytes and is no database: restore a backup, "
            "or remove it to start with an empty store"
        )
    if status.st_nlink > 1:
        _forget_drafts(path)
    return True


def check_whole(path: Path, connection: sqlite3.Connection) -> None:
    """``CorruptStoreError`` for a file that was cut off inside a page, which SQLite reads as zeros.

    It is asked through SQLite, never opened: closing a file drops all locks that this process has
    on it, those of other connections too.
    """
    # A second look, because a checkpoint may have come between the first one's questions.
    if _is_cut(path, connection) and _is_cut(path, connection):
        raise CorruptStoreError(f"{path} was cut off: restore a backup")


def use_log(path: Path, connection: sqlite3.Connection, patience: float) -> None:
    """Switch to a write-ahead log, or see that it is. While others use the file, SQLite refuses
    to switch at once instead of waiting."""
    until = time.monotonic() + patience
    while (mode := _try_log(connection)) is None and time.monotonic() < until:
        time.sleep(0.01)
    if mode != "wal":
        raise StoreUnavailableError(
            f"{path} can't have a write-ahead log (journal_mode is {mode}): keep it on a local "
            "disk, and stop other programs that use it"
        )


def size_bytes(path: Path) -> int:
    """The bytes of the database and of its log."""
    with reported(path):
        return path.stat().st_size + _log_size(path)


def reserve(path: Path, size: int) -> None:
    """``StoreUnavailableError`` unless there are ``size`` bytes for a file beside ``path``."""
    atomic_file.reserve(path.with_name(f"{_NEW}{os.urandom(8).hex()}"), size)


class Draft(NamedTuple):
    """A store that is being built as the file ``new``, to become ``path``."""

    new: Path
    path: Path
    directory: int

    def publish(self) -> bool:
        """Put it in its place, whole and durable; whether it is there. A store that another process
        put there first stays: a link fails where a rename would replace it."""
        _sync(self.new)
        try:
            os.link(self.new, self.path)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            if not self._rename():
                return False
        os.fsync(self.directory)
        return True

    def replace(self) -> None:
        """Put it in its place, whole and durable, whatever is there."""
        _sync(self.new)
        self.new.rename(self.path)
        os.fsync(self.directory)

    def _rename(self) -> bool:
        """For file systems without hard links: look and rename, one process at a time."""
        until = time.monotonic() + _PATIENCE
        while not _locked_alone(self.directory):
            if time.monotonic() > until:
                raise StoreUnavailableError(
                    f"others keep building in {self.path.parent}; try again"
                )
            time.sleep(0.01)
        if os.path.lexists(self.path):
            return False
        self.new.rename(self.path)
        return True


@contextmanager
def building(path: Path) -> Iterator[Draft]:
    """A draft of a new store, so that a store is there whole or not at all."""
    with reported(path):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _directory(path.parent) as directory:
            new = path.with_name(f"{_NEW}{os.urandom(8).hex()}")
            try:
                _create(new)
                yield Draft(new, path, directory)
            finally:
                _remove(new)


@contextmanager
def reported(path: Path) -> Iterator[None]:
    """Turn the operating system's errors into ours."""
    try:
        yield
    except OSError as error:
        raise StoreUnavailableError(
            f"can't use {path}: {os.strerror(error.errno or 0)}; check the path, the permissions "
            "of its directory and the free space"
        ) from None


def _forget_drafts(path: Path) -> None:
    """Remove the second name of a store whose builder was killed right after publishing it, by
    which it would outlive its deletion."""
    with reported(path):
        for left in path.parent.glob(f"{_NEW}*"):
            with suppress(FileNotFoundError):  # a builder that is alive has just removed it
                if left.samefile(path):
                    left.unlink()


def _is_cut(path: Path, connection: sqlite3.Connection) -> bool:
    """Pages may be missing only while the log or the journal still has them."""
    before = _log_size(path)
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (page_size,) = connection.execute("PRAGMA page_size").fetchone()
    size = path.stat().st_size
    cut = size % page_size != 0 or size < pages * page_size
    return cut and not before and not _log_size(path)


def _try_log(connection: sqlite3.Connection) -> str | None:
    try:
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    except sqlite3.OperationalError as error:
        if is_busy(error):
            return None
        raise
    return str(mode)


def _log_size(path: Path) -> int:
    return sum(_size(path.with_name(path.name + suffix)) for suffix in ("-wal", "-journal"))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _create(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, MODE)
    try:
        os.fchmod(descriptor, MODE)  # whatever the umask
    finally:
        os.close(descriptor)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _directory(path: Path) -> Iterator[int]:
    """An open directory, locked so that nobody sweeps away what is being built in it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        _sweep(path, descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield descriptor
    finally:
        os.close(descriptor)


def _sweep(path: Path, directory: int) -> None:
    """Remove what builders left that were killed: those alive hold a lock."""
    if _locked_alone(directory):
        for left in path.glob(f"{_NEW}*"):
            left.unlink(missing_ok=True)


def _locked_alone(directory: int) -> bool:
    try:
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _remove(new: Path) -> None:
    for suffix in _SUFFIXES:
        new.with_name(new.name + suffix).unlink(missing_ok=True)
