"""Who may read the JSON file and what lies beside it, and what somebody else put there."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count, product
from pathlib import Path
from unittest.mock import patch

from session_store.backends.json_file.repository import JsonFileRepository
from session_store.errors import SessionStoreError
from session_store.testing.given import OTHERS, change, create, messages
from tests.faults.broken_file import links_are_followed, modes_by_the_umask
from tests.faults.frame import EVERY, Outcomes, check, spread
from tests.faults.place import Place

UMASKS = [umask for umask in range(0o1000) if os.geteuid() == 0 or not umask & 0o700]
"""Who is not root can't use what his umask forbids himself."""


@contextmanager
def umask(value: int) -> Iterator[None]:
    before = os.umask(value)
    try:
        yield
    finally:
        os.umask(before)


def saved(directory: Path) -> None:
    with JsonFileRepository(directory) as repository:
        create(repository)
        for name in "abc":
            change(repository, entries=messages(name))


@check(
    "F15",
    "files are 0600 and directories 0700 under every umask",
    stores=["file"],
    trials=(16, EVERY),
    broken=[modes_by_the_umask],
)
def modes(place: Place, trials: int) -> Outcomes:
    for value in spread(UMASKS, trials):
        directory = place.directory / f"{value:o}" / "store"
        with umask(value):
            saved(directory)
        made = [directory.parent, directory, *directory.iterdir()]
        found = {path.name: stat.S_IMODE(path.stat().st_mode) for path in made}
        wrong = {
            name: oct(mode)
            for name, mode in found.items()
            if mode != (0o600 if name.startswith("sessions") else 0o700)
        }
        yield f"umask {value:o}: {wrong}" if wrong else None


def temp(number: int) -> str:
    """The names of temporary files, for somebody who could guess them."""
    return f"sessions.json.{os.getpid()}.{number:016x}.tmp"


NAMES = ["sessions.json", "sessions.json.bak", "sessions.json.lock", temp(0), temp(1)]
"""A save makes two temporary files: its own, and the link that becomes the backup."""


@check(
    "F15",
    "what a planted symbolic link points to is untouched, wherever the link is",
    stores=["file"],
    trials=(40, 40),
    broken=[links_are_followed],
)
def planted_links(place: Place, trials: int) -> Outcomes:
    booleans = (True, False)
    for name, exists, is_early, is_dangling in product(NAMES, booleans, booleans, booleans):
        directory = place.another().directory / "store"
        victim = directory.with_name("victim")
        directory.mkdir()
        if exists:
            saved(directory)
        if not is_dangling:
            victim.write_text("precious")
        _save_beside_link(directory, name, victim, is_early=is_early)
        untouched = not victim.exists() if is_dangling else victim.read_text() == "precious"
        yield None if untouched else f"{name}: the victim holds {victim.read_bytes()[:80]!r}"


def _save_beside_link(directory: Path, name: str, victim: Path, *, is_early: bool) -> None:
    """A link that is planted before the store is opened, or while it is open."""

    def plant() -> None:
        path = directory / name
        path.unlink(missing_ok=True)
        path.symlink_to(victim)

    numbers = count()
    with (
        patch("secrets.token_hex", lambda size: f"{next(numbers):016x}"),
        suppress(SessionStoreError),
    ):
        if is_early:
            plant()
        with JsonFileRepository(directory) as repository:
            if not is_early:
                plant()
            create(repository, OTHERS[0])
