"""What breaks the JSON file: each variant leaves out, or does wrong, one thing that it does."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any
from unittest.mock import patch

from session_store.backends.json_file import (
    atomic_file,
)
from session_store.backends.json_file import (
    format as json_format,
)
from session_store.backends.json_file import (
    recovery as json_recovery,
)
from session_store.backends.json_file.file_lock import FileLock, translated
from session_store.backends.json_file.recovery import EMPTY, Snapshot
from session_store.backends.json_file.repository import JsonFileRepository
from session_store.errors import StoreUnavailableError


@contextmanager
def written_in_place() -> Iterator[None]:
    """A save writes into the file itself."""

    def replace(path: Path, chunks: Any, *, backup: Any = None) -> Any:
        content = b"".join(chunks)
        half = len(content) // 2
        with translated(path):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
            try:
                os.write(descriptor, content[:half])
                os.fsync(descriptor)
                os.write(descriptor, content[half:])
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        return atomic_file.fingerprint(path)

    with patch.object(atomic_file, "replace", replace):
        yield


@contextmanager
def no_sweep() -> Iterator[None]:
    """What killed processes left stays."""
    with patch.object(atomic_file, "sweep", lambda path: None):
        yield


@contextmanager
def no_file_sync() -> Iterator[None]:
    sync = os.fsync

    def directories_only(descriptor: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            sync(descriptor)

    with patch("os.fsync", directories_only):
        yield


@contextmanager
def no_directory_sync() -> Iterator[None]:
    with patch.object(atomic_file, "_sync_directory", lambda descriptor: None):
        yield


@contextmanager
def errors_as_they_come() -> Iterator[None]:
    with patch.object(atomic_file, "translated", lambda path: nullcontext()):
        yield


@contextmanager
def memory_before_disk() -> Iterator[None]:
    """Memory is told of a save before it is written."""
    save = JsonFileRepository._save

    def told_first(self: JsonFileRepository, before: Snapshot, table: Any) -> None:
        self._snapshot = before._replace(contents=before.contents._replace(table=table))
        save(self, before, table)

    with patch.object(JsonFileRepository, "_save", told_first):
        yield


@contextmanager
def one_write_is_enough() -> Iterator[None]:
    """As many programs believe."""
    with patch.object(atomic_file, "_write_all", os.write):
        yield


@contextmanager
def every_error_says_nothing_was_written() -> Iterator[None]:
    """That of the directory's sync is no other than that of a write."""
    with patch.object(atomic_file, "_confirm", lambda directory, path: os.fsync(directory)):
        yield


@contextmanager
def no_checksum() -> Iterator[None]:
    with patch.object(json_format, "is_right", lambda data, sections: True):
        yield


@contextmanager
def starts_empty_over_damage() -> Iterator[None]:
    with patch.object(json_recovery, "_restored", lambda path, problem: EMPTY):
        yield


@contextmanager
def the_backup_is_not_looked_at() -> Iterator[None]:
    with patch.object(json_recovery, "_has_newer_backup", lambda path, current: False):
        yield


@contextmanager
def no_lock() -> Iterator[None]:
    with patch.object(FileLock, "held", lambda lock, deadline: nullcontext()):
        yield


@contextmanager
def lock_by_a_files_existence() -> Iterator[None]:
    """Who is killed while he holds it never gives it back."""

    @contextmanager
    def held(lock: FileLock, deadline: float) -> Iterator[None]:
        path = f"{lock._path}.exists"
        while True:
            try:
                os.close(os.open(path, os.O_CREAT | os.O_EXCL))
                break
            except FileExistsError:
                if time.monotonic() >= deadline:
                    raise StoreUnavailableError(f"{path} exists") from None
                time.sleep(0.001)
        try:
            yield
        finally:
            os.unlink(path)

    with patch.object(FileLock, "held", held):
        yield


@contextmanager
def modes_by_the_umask() -> Iterator[None]:
    with (
        patch("os.fchmod", lambda descriptor, mode: None),
        patch.object(atomic_file, "_PRIVATE", 0o666),
    ):
        yield


@contextmanager
def links_are_followed() -> Iterator[None]:
    """And what is there already is opened as if it were new."""
    allowed = ~(os.O_NOFOLLOW | os.O_EXCL)
    real = os.open

    def opened(path: Any, flags: int, *mode: Any, **others: Any) -> int:
        return real(path, flags & allowed, *mode, **others)

    with patch("os.open", opened):
        yield
