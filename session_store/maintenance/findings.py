"""What is wrong in a store, and where: never what stands there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from session_store.session import SessionKey

SHOWN: Final = 10
"""How many runs of numbers a message gives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """``place`` is a file or a table; ``session`` the key of a session, as far as it is readable;
    ``field`` the path of a value in it, or in its entry ``seq``."""

    place: str
    problem: str
    session: str | None = None
    seq: int | None = None
    field: str | None = None

    def __str__(self) -> str:
        session = None if self.session is None else f"session {self.session}"
        entry = None if self.seq is None else f"entry {self.seq}"
        parts = [part for part in (self.place, session, entry, self.field) if part is not None]
        return f"{', '.join(parts)}: {self.problem}"


OnFinding: TypeAlias = Callable[[Finding], None]
"""Told of each thing that is wrong, when it is found."""


def ignore(finding: Finding) -> None:
    """Only counted."""


@dataclass(slots=True)
class VerifyReport:
    """What was read, and how many things are wrong."""

    sessions: int = 0
    entries: int = 0
    shared: int = 0
    wrong: int = 0


def name_of(key: tuple[Any, ...]) -> str:
    """A key as messages show it, whatever stands in its place."""
    return str(SessionKey(*key))


def unreadable(table: str, first: int, last: int | None) -> str:
    """``last`` is ``None`` for all rows from the first one on."""
    return f"{table}: rows {first} to {'the end' if last is None else last} can't be read"


def runs(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """The first and the last of each row of numbers without a gap."""
    found: list[tuple[int, int]] = []
    for number in sorted(set(numbers)):
        if found and number == found[-1][1] + 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found


def spans(found: Sequence[tuple[int, int]]) -> str:
    """``3, 5 to 9``; of very many the first."""
    shown = [f"{first}" if first == last else f"{first} to {last}" for first, last in found[:SHOWN]]
    more = [f"and {len(found) - SHOWN:,} more"] if len(found) > SHOWN else []
    return ", ".join([*shown, *more])
