"""What a run found, as it is kept in JSON, and the ratios that are read from it."""

from __future__ import annotations

import json
import os
import platform
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryFile
from typing import Any, NamedTuple

from benchmarks.measure import Effort, Measured
from benchmarks.subjects import installed

PACKAGES = ("sqlalchemy", "psycopg", "pydantic", "msgspec", "google-adk", "openai-agents",
            "langgraph-checkpoint-sqlite", "langgraph-checkpoint-postgres")  # fmt: skip


class Ratio(NamedTuple):
    """The median of the rounds' ratios, the least and the most."""

    median: float
    least: float
    most: float

    def __str__(self) -> str:
        return f"{shown(self.median)} ({shown(self.least)}-{shown(self.most)})"


def ratio_of(some: Sequence[float], others: Sequence[float]) -> Ratio:
    """Round by round."""
    ratios = [one / other for one, other in zip(some, others, strict=True)]
    return Ratio(median(ratios), min(ratios), max(ratios))


class Line(NamedTuple):
    """A workload in one mode: who was measured."""

    workload: str
    title: str
    mode: str
    subjects: dict[str, Measured]

    def ratio(self, one: str, other: str) -> Ratio | None:
        """Of their times, round by round; ``None`` where one of them has none."""
        if not {one, other} <= self.subjects.keys():
            return None
        return ratio_of(self.times(one), self.times(other))

    def times(self, subject: str) -> list[float]:
        return [each.seconds for each in self.subjects[subject].rounds]

    def seconds(self, subject: str) -> float | None:
        return median(self.times(subject)) if subject in self.subjects else None


def lines(found: Iterable[Measured]) -> list[Line]:
    """Those of one kind together: all turns, then all loads."""
    made = dict[tuple[str, str], Line]()
    for each in found:
        line = Line(each.workload, each.title, each.mode, {})
        made.setdefault((each.workload, each.mode), line).subjects[each.subject] = each
    kinds = list(dict.fromkeys(name.partition("-")[0] for name, _ in made))
    return sorted(made.values(), key=lambda line: kinds.index(line.workload.partition("-")[0]))


class Gain(NamedTuple):
    """The rate of eight threads that save at once, as a multiple of one thread's."""

    mode: str
    subject: str
    ratio: Ratio


def gains(lines: Iterable[Line], alone: str, at_once: str) -> Iterator[Gain]:
    """Of whom both were measured, round by round: a crowd's time is that of each turn."""
    found = {(line.workload, line.mode): line for line in lines}
    for (workload, mode), line in found.items():
        other = found.get((at_once, mode))
        if workload == alone and other:
            for name in [each for each in line.subjects if each in other.subjects]:
                yield Gain(mode, name, ratio_of(line.times(name), other.times(name)))


def as_json(line: Line, durability: str, floor: str, ours: str) -> dict[str, Any]:
    ratio = line.ratio(ours, floor)
    return {
        "workload": line.workload,
        "title": line.title,
        "store": line.mode,
        "durability": durability,
        "ratio": ratio and ratio._asdict(),
        "subjects": {name: _subject_as_json(name, line, ours) for name in line.subjects},
    }


def _subject_as_json(name: str, line: Line, ours: str) -> dict[str, Any]:
    found, ratio = line.subjects[name], line.ratio(name, ours)
    return {
        "seconds": line.seconds(name),
        "to_ours": ratio and ratio._asdict(),
        **{name: found.total(name) for name in ("calls", "refused", "lost")},
        "rounds": [float(f"{seconds:.4g}") for seconds in line.times(name)],
    }


def machine() -> dict[str, Any]:
    """What the times are of."""
    return {
        "cpus": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "packages": {name: found for name in PACKAGES if (found := installed(name))},
        "fsync_seconds": _fsync_seconds(),
        "measured_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def save(path: Path, part: str, content: Any, effort: Effort | None = None) -> None:
    """Beside the parts that other runs left there."""
    kept = json.loads(path.read_text()) if path.exists() else {}
    kept |= {part: {"machine": machine(), "effort": effort and effort._asdict(), "rows": content}}
    path.write_text(_in_lines(kept))


def _in_lines(parts: Mapping[str, Mapping[str, Any]]) -> str:
    """JSON in which a row is a line, so that a new run is read as what changed."""
    return "{" + ",".join(f"\n{json.dumps(name)}: {_part(parts[name])}" for name in parts) + "\n}\n"


def _part(part: Mapping[str, Any]) -> str:
    rows = ",\n ".join(json.dumps(row) for row in part["rows"])
    rest = json.dumps({name: value for name, value in part.items() if name != "rows"})
    return f'{rest[:-1]},\n "rows": [\n {rows}]}}'


def shown(value: float) -> str:
    """Two digits, or all before the point."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 9.95 else f"{value:.2f}"


def time_of(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:.2f} s"
    return f"{shown(seconds * 1e3)} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.0f} us"


def _fsync_seconds(times: int = 20) -> float:
    """What a write of 4 KB takes to be on disk; next to nothing where the disk is memory."""
    taken: Sequence[float] = []
    with TemporaryFile() as file:
        for _ in range(times):
            began = time.perf_counter()
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())
            taken = [*taken, time.perf_counter() - began]
    return median(taken)
