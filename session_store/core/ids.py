"""Identifiers that sort by the time they were made: UUID version 7 (RFC 9562, section 5.7)."""

from __future__ import annotations

import os
import threading
import time

_lock = threading.Lock()
_last = 0


def new_id() -> str:
    """A new UUIDv7, greater than every other made by this process."""
    digits = f"{_next():032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _next() -> int:
    global _last  # noqa: PLW0603 - the counter that makes ids of one process monotonic
    noise = int.from_bytes(os.urandom(14), "big")
    fresh = time.time_ns() // 1_000_000 << 74 | noise >> 38
    with _lock:
        # The step is random too, so that a forked process does not go on with the same ids.
        _last = max(_last + 1 + (noise & 0xFFFFFFFF), fresh)
        return _stamped(_last)


def _stamped(count: int) -> int:
    """The version (7) and variant (binary 10) put into the 122 bits that are ours, in order."""
    time_part, high, low = count >> 74, count >> 62 & 0xFFF, count & (1 << 62) - 1
    return time_part << 80 | 0x7 << 76 | high << 64 | 0x2 << 62 | low
