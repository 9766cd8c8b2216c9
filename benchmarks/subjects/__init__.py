"""Who can be measured. Another peer is a module with its class, and its lines here."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple

from benchmarks.modes import MODES, Mode
from benchmarks.subject import Subject

OURS, FLOOR = "ours", "floor"


class Candidate(NamedTuple):
    """A subject in one mode; its class is imported when it is used, from a ``package`` of its own
    if it is a peer."""

    name: str
    mode: str
    module: str
    cls: str
    package: str | None = None

    @property
    def subject(self) -> type[Subject]:
        module = import_module(f"benchmarks.subjects.{self.module}")
        found: type[Subject] = getattr(module, self.cls)
        return found

    @property
    def store(self) -> Mode:
        return MODES[self.mode]

    @property
    def is_installed(self) -> bool:
        return self.package is None or installed(self.package) is not None


def installed(package: str) -> str | None:
    """Its version."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


ADK, AGENTS, LANGGRAPH = "google-adk", "openai-agents", "langgraph-checkpoint"
SQL = ("sqlite-full", "sqlite-normal", "postgres")

CANDIDATES = (
    *(Candidate(OURS, mode, "ours", "Ours") for mode in MODES),
    Candidate(FLOOR, "file", "floor_file", "FileFloor"),
    Candidate(FLOOR, "sqlite-full", "floor_sqlite", "SqliteFloor"),
    Candidate(FLOOR, "sqlite-normal", "floor_sqlite", "SqliteFloor"),
    Candidate(FLOOR, "postgres", "floor_postgres", "PostgresFloor"),
)
PEERS = (
    *(Candidate("ADK Database", mode, "adk", "Adk", ADK) for mode in SQL),
    Candidate("OpenAI SQLite", "sqlite-full", "openai_agents", "OnSqlite", AGENTS),
    Candidate("OpenAI Advanced", "sqlite-full", "openai_agents", "Advanced", AGENTS),
    *(Candidate("OpenAI SQLAlchemy", mode, "openai_agents", "OnEngine", AGENTS) for mode in SQL),
    Candidate("LangGraph", "sqlite-full", "langgraph", "OnSqlite", f"{LANGGRAPH}-sqlite"),
    Candidate("LangGraph", "postgres", "langgraph", "OnPostgres", f"{LANGGRAPH}-postgres"),
)
