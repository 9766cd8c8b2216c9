"""Where tests put files whose syncs are of no interest, by the thousand."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory


@contextmanager
def quick_directory() -> Iterator[Path]:
    """A directory in memory, if there is such a place: a sync costs nothing there."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with TemporaryDirectory(dir=memory) as directory:
        yield Path(directory)
