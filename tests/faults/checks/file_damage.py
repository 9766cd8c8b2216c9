"""JSON files that a disk, a crash or a person damaged: an error or a recovery that is announced."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Final

from session_store.backends.json_file.repository import JsonFileRepository
from session_store.errors import CorruptStoreError
from session_store.testing.given import OTHERS, change, contents, create, messages
from tests.faults.broken_file import (
    no_checksum,
    starts_empty_over_damage,
    the_backup_is_not_looked_at,
)
from tests.faults.frame import EVERY, Outcomes, check, spread
from tests.faults.place import Place

Damage = Callable[[bytes], bytes]
Mutation = Callable[[bytearray, random.Random], None]
_LOG: Final = logging.getLogger("session_store.backends.json_file.recovery")


class Saves:
    """A directory with the bytes of three saves of a store, and what each of them holds."""

    def __init__(self, place: Place) -> None:
        self.directory, self.main = place.directory, place.json_file
        self.backup = Path(f"{self.main}.bak")
        self.temp = Path(f"{self.main}.77.0123456789abcdef.tmp")
        self.bytes: list[bytes] = []
        self.held: list[list[str]] = []
        with JsonFileRepository(self.directory) as repository:
            self.empty = contents(repository)
            create(repository, history="ab", metadata={"title": "words"})
            self._note(repository)
            for name in ("m1", "m2"):
                change(repository, entries=messages(name), app_state={"n": 1.5})
                self._note(repository)

    def _note(self, repository: JsonFileRepository) -> None:
        self.bytes.append(self.main.read_bytes())
        self.held.append(contents(repository))

    def put(self, main: bytes | None, backup: bytes | None, temp: bytes | None = None) -> None:
        for path in self.directory.iterdir():
            path.unlink()
        for path, data in ((self.main, main), (self.backup, backup), (self.temp, temp)):
            if data is not None:
                path.write_bytes(data)

    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.directory.iterdir()}

    def opened(self) -> list[str] | None:
        """What the store holds; none where it is refused."""
        try:
            with JsonFileRepository(self.directory) as repository:
                return contents(repository)
        except CorruptStoreError:
            return None
        except Exception as error:  # noqa: BLE001 - any other is what the check is to find
            return [repr(error)]


@contextmanager
def warnings() -> Iterator[list[str]]:
    """What recovery says."""
    said: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    _LOG.addHandler(handler)
    _LOG.propagate = False
    try:
        yield said
    finally:
        _LOG.propagate = True
        _LOG.removeHandler(handler)


# F9. ---------------------------------------------------------------------------------------------


def _move(data: bytearray, chance: random.Random) -> None:
    start, size, to = (chance.randrange(len(data)) for _ in range(3))
    part = data[start : start + size % 64]
    del data[start : start + size % 64]
    data[to:to] = part


def _copy_line(data: bytearray, chance: random.Random) -> None:
    lines = data.split(b"\n")
    lines.insert(chance.randrange(len(lines)), chance.choice(lines))
    data[:] = b"\n".join(lines)


def _change_digit(data: bytearray, chance: random.Random) -> None:
    places = [n for n, byte in enumerate(data) if chr(byte).isdigit()]
    if places:
        data[chance.choice(places)] = ord(chance.choice("0123456789"))


MUTATIONS: Final[list[Mutation]] = [
    lambda data, chance: data.__setitem__(chance.randrange(len(data)), chance.randrange(256)),
    lambda data, chance: data.insert(chance.randrange(len(data)), chance.randrange(256)),
    lambda data, chance: data.__delitem__(chance.randrange(len(data))),
    lambda data, chance: data.__delitem__(slice(chance.randrange(len(data)), None)),
    _move,
    _copy_line,
    _change_digit,
]


def _flip_bit(data: bytearray, chance: random.Random) -> None:
    bit = chance.randrange(8 * len(data))
    data[bit // 8] ^= 1 << bit % 8


def damaged(
    place: Place, mutate: Callable[[bytearray, random.Random], None], trials: int, seed: int
) -> Outcomes:
    saves, chance = Saves(place), random.Random(seed)
    with warnings() as said:
        for n in range(trials):
            data = bytearray(saves.bytes[2])
            mutate(data, chance)
            saves.put(bytes(data), saves.bytes[1] if n % 2 else None)
            said.clear()
            found = saves.opened()
            recovered = found == saves.held[1] and any(
                "Restoring revision 2 " in one for one in said
            )
            unharmed = found == saves.held[2]
            yield None if found is None or recovered or unharmed else f"{bytes(data)!r}: {found}"


@check(
    "F9",
    "of mutated files none is a silent difference: an error, or a recovery that is announced",
    stores=["file"],
    trials=(1000, 100_000),
    broken=[no_checksum],
)
def mutated_files(place: Place, trials: int) -> Outcomes:
    def mutate(data: bytearray, chance: random.Random) -> None:
        for _ in range(chance.choice([1, 1, 1, 2, 3])):
            if data:
                chance.choice(MUTATIONS)(data, chance)

    yield from damaged(place, mutate, trials, seed=9)


@check(
    "F9",
    "of files with a flipped bit none is a silent difference",
    stores=["file"],
    trials=(500, 20_000),
    broken=[no_checksum],
)
def flipped_bits(place: Place, trials: int) -> Outcomes:
    yield from damaged(place, _flip_bit, trials, seed=10)


# F11. --------------------------------------------------------------------------------------------

UNREADABLE: Final[dict[str, Damage]] = {
    "empty": lambda data: b"",
    "truncated": lambda data: data[: len(data) // 2],
    "zeros": lambda data: bytes(len(data)),
    "foreign": lambda data: b'{"name": "another program"}',
}
REFUSED: Final[dict[str, Damage]] = {
    "edited": lambda data: data.replace(b'"ab"', b'"ac"').replace(b"words", b"wards"),
    "a newer release's": lambda data: data.replace(b"session-store/1", b"session-store/2"),
}
STATES: Final = ["whole", "missing", "older", *UNREADABLE, *REFUSED]


@check(
    "F11",
    "recovery from every state of file, backup and temporary file: whole, missing, empty, "
    "truncated, zeros, foreign, edited, a newer release's, older",
    stores=["file"],
    trials=(120, EVERY),
    broken=[starts_empty_over_damage, the_backup_is_not_looked_at],
    broken_trials=EVERY,
)
def recovery_matrix(place: Place, trials: int) -> Outcomes:
    saves, cases = Saves(place), list(product(STATES, STATES, STATES))
    with warnings() as said:
        for n in spread(range(len(cases)), trials):
            main, backup, temp = cases[n]
            files = [
                _state(saves, name, whole) for name, whole in ((main, 2), (backup, 1), (temp, 2))
            ]
            saves.put(*files)
            before = saves.files() | {f"{saves.main.name}.lock": b""}
            before.pop(saves.temp.name, None)
            said.clear()
            problem = _problem(saves, before, _expected(main, backup), said)
            yield problem and f"file {main}, backup {backup}, temporary file {temp}: {problem}"


def _state(saves: Saves, name: str, whole: int) -> bytes | None:
    if name == "missing":
        return None
    if name in ("whole", "older"):
        return saves.bytes[whole if name == "whole" else 0]
    return (UNREADABLE | REFUSED)[name](saves.bytes[whole])


def _expected(main: str, backup: str) -> int | None:
    """Which save is found, -1 for an empty store; none where the store is refused."""
    if main == "whole":
        return 2
    if main == "older":
        return 1 if backup == "whole" else 0
    if main == backup == "missing":
        return -1
    if main in REFUSED:
        return None
    return {"whole": 1, "older": 0}.get(backup)


def _problem(
    saves: Saves, before: dict[str, bytes], expected: int | None, said: list[str]
) -> str | None:
    found = saves.opened()
    if expected is None or found is None:
        wrong = {
            "is no error": found is not None,
            "is an error": expected is not None,
            "an opening that failed changed the files": saves.files() != before,
        }
    else:
        whole = saves.held[expected] if expected >= 0 else saves.empty
        main = before.get(saves.main.name)
        is_restored = expected >= 0 and saves.bytes[expected] != main
        kept = [data for name, data in saves.files().items() if ".corrupt-" in name]
        wrong = {
            "another save is found": found != whole,
            "a recovery is not announced": is_restored and not said,
            "a recovery is announced that was none": bool(said) and not is_restored,
            "what was replaced is not kept": kept != [main] * (is_restored and main is not None),
            "the temporary file stays": saves.temp.exists(),
            "the next save fails": not _can_save(saves),
        }
    return next((f"{text}: {found}, {said}" for text, is_so in wrong.items() if is_so), None)


def _can_save(saves: Saves) -> bool:
    with JsonFileRepository(saves.directory) as repository:
        return create(repository, OTHERS[0]).version == 1
