"""A lock between processes, and what an operating system's error means for a store in files."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from session_store.errors import (
    DiskFullError,
    NotWritableError,
    SettingsError,
    StoreUnavailableError,
)

try:
    import fcntl
except ImportError:
    raise SettingsError(
        "the JSON file needs POSIX file locks; use SQLite here: SESSION_STORAGE_TYPE=sqlite"
    ) from None

_FULL: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN: Final = {errno.EROFS, errno.EACCES, errno.EPERM}
_LOCK: Final = os.O_RDWR | os.O_NOFOLLOW

_held: Final[set[int]] = set()


class FileLock:
    """An exclusive lock between processes, on a file of its own that is never deleted.

    ``flock``, because ``lockf`` is lost when any descriptor of the file is closed. Every
    acquisition opens the file, so that neither threads nor forked children share one.
    """

    def __init__(self, path: Path, timeout: float) -> None:
        self._path, self._timeout = path, timeout

    def deadline(self) -> float:
        """Until when a caller who comes now waits."""
        return time.monotonic() + self._timeout

    @contextmanager
    def held(self, deadline: float) -> Iterator[None]:
        """``StoreUnavailableError`` when another holds it until ``deadline``."""
        with translated(self._path):
            descriptor = _opened(self._path)
        _held.add(descriptor)
        try:
            self._acquire(descriptor, deadline)
            yield
        finally:
            _held.discard(descriptor)
            # A child forked meanwhile shares the lock: it ends by this, not by closing ours.
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)

    def _acquire(self, descriptor: int, deadline: float) -> None:
        pause = 0.0005
        while not self._is_acquired(descriptor):
            if time.monotonic() >= deadline:
                raise StoreUnavailableError(
                    f"{self._path} was locked by another process for {self._timeout:g} s; "
                    "try again, or see which process holds it"
                )
            time.sleep(pause)
            pause = min(pause * 1.5, 0.02)

    def _is_acquired(self, descriptor: int) -> bool:
        with translated(self._path):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True


def _opened(path: Path) -> int:
    try:
        return os.open(path, _LOCK)
    except FileNotFoundError:
        descriptor = os.open(path, _LOCK | os.O_CREAT, 0o600)
    try:
        os.fchmod(descriptor, 0o600)  # whatever the umask
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _free_inherited_locks() -> None:
    """In a forked child: else it would hold on to the lock of a parent that is killed in a save."""
    while _held:
        os.close(_held.pop())


os.register_at_fork(after_in_child=_free_inherited_locks)


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """An ``OSError`` becomes ``StoreUnavailableError`` that says what happened to ``path``."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise DiskFullError(f"{path}: the disk is full; free some space") from error
        if error.errno in _FORBIDDEN:
            raise NotWritableError(
                f"{path} is not writable or not readable ({error.strerror}); check its "
                "permissions and those of its directory"
            ) from error
        if error.errno == errno.ELOOP:
            raise StoreUnavailableError(
                f"{path} is a symbolic link, which is not followed; name the file itself"
            ) from error
        raise StoreUnavailableError(f"{path}: {error.strerror or error}") from error
