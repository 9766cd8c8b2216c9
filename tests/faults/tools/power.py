"""A disk whose power can be cut: a file system in an image, mounted through a loop device.

The shutdown ioctl of ext4 and xfs drops all that is not on the disk yet: cached pages, and the
journal in memory. The writer is stopped before: else xfs lets it acknowledge what it refused, which
looks like a loss. A cut takes about 0.3 s. Needs root.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Literal

from tests.faults.tools.writer import Writer

FileSystem = Literal["ext4", "xfs"]

_SHUTDOWN: Final = 0x8004587D
_WITHOUT_FLUSHING: Final = struct.pack("I", 2)
_SIZES: Final[dict[FileSystem, str]] = {"ext4": "64M", "xfs": "300M"}  # xfs takes no less


class Disk:
    def __init__(self, file_system: FileSystem, folder: Path) -> None:
        self._image, self.path = folder / "image", folder / "mounted"
        self.path.mkdir()
        _run("truncate", "-s", _SIZES[file_system], str(self._image))
        _run(f"mkfs.{file_system}", "-q", str(self._image))
        self.mount()

    def mount(self) -> None:
        _run("mount", "-o", "loop", str(self._image), str(self.path))

    def unmount(self) -> None:
        _run("umount", str(self.path))

    def cut(self, writer: Writer) -> int:
        """The writer's last acknowledgement before the power went; it is back again now."""
        writer.stop()
        descriptor = os.open(self.path, os.O_RDONLY)
        fcntl.ioctl(descriptor, _SHUTDOWN, _WITHOUT_FLUSHING)
        os.close(descriptor)
        last = writer.killed()
        self.unmount()
        self.mount()
        return last


@contextmanager
def disk(file_system: FileSystem) -> Iterator[Disk]:
    """The image is in memory where that is possible: what the host does with it costs nothing."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with TemporaryDirectory(dir=memory) as folder:
        mounted = Disk(file_system, Path(folder))
        try:
            yield mounted
        finally:
            mounted.unmount()


def power_cuts(file_system: FileSystem) -> Callable[[], str | None]:
    """What a check needs that cuts the power of such a file system."""
    return lambda: _missing(file_system)


@cache
def _missing(file_system: FileSystem) -> str | None:
    if os.geteuid() != 0:
        return "needs root"
    if shutil.which(f"mkfs.{file_system}") is None:
        return f"needs mkfs.{file_system}"
    try:
        with disk(file_system):
            return None
    except (subprocess.CalledProcessError, OSError):
        return f"{file_system} can't be mounted from an image"


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
