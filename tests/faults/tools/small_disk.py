"""A file system in memory that is soon full; mounting one needs root."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class SmallDisk:
    def __init__(self, path: Path, options: str) -> None:
        self.path = path
        path.mkdir()
        self._run("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path))

    def grow(self) -> None:
        self._run("mount", "-o", "remount,size=64m,nr_inodes=10000", str(self.path))

    def unmount(self) -> None:
        self._run("umount", str(self.path))

    def _run(self, *command: str) -> None:
        subprocess.run(command, check=True, capture_output=True)


@contextmanager
def small_disk(path: Path, options: str) -> Iterator[SmallDisk]:
    """``options`` of tmpfs: ``size=64k`` bytes, ``nr_inodes=5`` files."""
    disk = SmallDisk(path, options)
    try:
        yield disk
    finally:
        disk.unmount()
