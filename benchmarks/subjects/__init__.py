"""Who can be measured. Another peer is a module with its class, and its lines here."""

from __future__ import annotations

from importlib import import_module
from typing import NamedTuple

from benchmarks.modes import MODES, Mode
from benchmarks.subject import Subject

OURS, FLOOR = "ours", "floor"


class Candidate(NamedTuple):
    """A subject in one mode; its class is imported when it is used."""

    name: str
    mode: str
    module: str
    cls: str

    @property
    def subject(self) -> type[Subject]:
        module = import_module(f"benchmarks.subjects.{self.module}")
        found: type[Subject] = getattr(module, self.cls)
        return found

    @property
    def store(self) -> Mode:
        return MODES[self.mode]


CANDIDATES = (
    *(Candidate(OURS, mode, "ours", "Ours") for mode in MODES),
    Candidate(FLOOR, "file", "floor_file", "FileFloor"),
    Candidate(FLOOR, "sqlite-full", "floor_sqlite", "SqliteFloor"),
    Candidate(FLOOR, "sqlite-normal", "floor_sqlite", "SqliteFloor"),
    Candidate(FLOOR, "postgres", "floor_postgres", "PostgresFloor"),
)
