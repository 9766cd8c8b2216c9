"""Numbers of things, as people read them."""

from __future__ import annotations


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """``1 session``, ``2,000 sessions``."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"
