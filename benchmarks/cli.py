"""How fast the stores are beside hand-written SQL and an fsynced replace of the same file, what
they take of memory and disk, and what becomes of it as they grow.

    python -m benchmarks                                                   # speed
    python -m benchmarks --stores sqlite-full --workloads turn,load        # names begin so
    python -m benchmarks speed memory size --json found.json --svg chart.svg
    python -m benchmarks growth --sessions 1000,1000000 --entries 10,10000

Absolute times are of the machine that it ran on. Ratios compare stores of one durability, in turn
in one run. PostgreSQL is started for it: one that is installed, or one from a wheel.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

from benchmarks import chart, report, results
from benchmarks.growth import Growth, cells
from benchmarks.measure import Effort, measured
from benchmarks.memory import peaks
from benchmarks.modes import MODES, Places, waits_for_disk
from benchmarks.plan import ALONE, AT_ONCE, FULL, QUICK, plan
from benchmarks.size import GROWTHS, QUICK_GROWTHS, sizes
from benchmarks.subjects import CANDIDATES, FLOOR, OURS, PEERS, Candidate
from benchmarks.workloads import Workload

if TYPE_CHECKING:
    from tests.servers.postgres import PostgresServer

BEGAN = time.perf_counter()
NORMAL_EFFORT = Effort(rounds=5, calls=20, limit=1.0)
QUICK_EFFORT = Effort(rounds=1, calls=2, limit=0.2)
NORMAL_GROWTH = Growth(
    sessions=(1000, 10_000, 100_000),
    entries=(10, 100, 1000, 10_000),
    in_file=(100, 1000, 10_000),
)
QUICK_GROWTH = Growth(sessions=(200, 400), entries=(10, 100), in_file=(10, 100))


class Run(NamedTuple):
    """What was asked for, and where and on whom it is measured."""

    options: argparse.Namespace
    workloads: Sequence[Workload]
    candidates: Sequence[Candidate]
    places: Places
    effort: Effort

    def keep(self, part: str, rows: object) -> None:
        if self.options.json:
            results.save(self.options.json, part, rows, self.effort)


def main(arguments: Sequence[str] | None = None) -> None:
    options = parsed(arguments)
    with TemporaryDirectory(dir=options.directory) as directory, server(options) as postgres:
        run = asked_for(options, Places(Path(directory), postgres), has_server=postgres is not None)
        for part in options.parts:
            PARTS[part](run)


def speed(run: Run) -> None:
    found = measured(run.workloads, run.candidates, run.places, run.effort, say)
    lines = results.lines(found)
    at_once = list(results.gains(lines, ALONE, AT_ONCE))
    report.show_speed(lines)
    rows = [results.as_json(line, MODES[line.mode].durability, FLOOR, OURS) for line in lines]
    run.keep("speed", rows)
    run.keep("at once", [each._asdict() | {"ratio": each.ratio._asdict()} for each in at_once])
    if run.options.svg:
        run.options.svg.write_text(chart.drawn(rows), encoding="utf-8")


def memory(run: Run) -> None:
    if not Path("/proc/self/status").exists():
        say("without memory, which only Linux tells")
        return
    found = list(peaks(run.workloads, run.candidates, run.places, say))
    report.show_memory(found)
    run.keep("memory", [each._asdict() for each in found])


def size(run: Run) -> None:
    growths = QUICK_GROWTHS if run.options.quick else GROWTHS
    found = list(sizes(run.candidates, growths, run.places, say))
    report.show_sizes(found)
    run.keep("size", [each._asdict() for each in found])


def growth(run: Run) -> None:
    options = run.options
    wanted = Growth(options.sessions, options.entries, options.in_file)
    wanted = QUICK_GROWTH if options.quick else wanted
    found = list(cells(wanted, run.candidates, run.places, run.effort, say))
    report.show_growth(found)
    run.keep("growth", [each._asdict() | {"ratio": each.ratio._asdict()} for each in found])


PARTS: dict[str, Callable[[Run], None]] = {
    "speed": speed,
    "memory": memory,
    "size": size,
    "growth": growth,
}


def asked_for(options: argparse.Namespace, places: Places, *, has_server: bool) -> Run:
    stores = [name for name in options.stores if has_server or MODES[name].kind != "postgresql"]
    effort = QUICK_EFFORT if options.quick else NORMAL_EFFORT
    return Run(
        options=options,
        workloads=[
            each
            for each in plan(QUICK if options.quick else FULL)
            if each.name.startswith(tuple(options.workloads))
        ],
        candidates=[each for each in installed(options) if each.mode in stores],
        places=places,
        effort=effort._replace(rounds=options.rounds or effort.rounds),
    )


def installed(options: argparse.Namespace) -> list[Candidate]:
    candidates = [*CANDIDATES, *(PEERS if options.peers else ())]
    for name in sorted({each.name for each in candidates if not each.is_installed}):
        say(f"without {name}, which is not installed")
    return [each for each in candidates if each.is_installed]


@contextmanager
def server(options: argparse.Namespace) -> Iterator[PostgresServer | None]:
    """A PostgreSQL that waits for its disk, where one is wanted and there is one."""
    with ExitStack() as stack:
        found = None
        if any(MODES[name].kind == "postgresql" for name in options.stores):
            from tests.servers.daemon import NoServerError
            from tests.servers.postgres import running_postgres

            try:
                found = stack.enter_context(running_postgres(durable=True))
            except NoServerError as error:
                say(f"without PostgreSQL: {error}")
            if found and not options.quick and not waits_for_disk(found.url()):
                say("without PostgreSQL: its fsync or synchronous_commit is off")
                found = None
        yield found


def say(progress: str) -> None:
    """Beside the tables, with the seconds since the beginning."""
    print(f"{time.perf_counter() - BEGAN:5.0f} s  {progress}", file=sys.stderr, flush=True)


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parts = ", ".join(PARTS)
    parser.add_argument("parts", nargs="*", type=_part, default=["speed"], help=parts)
    parser.add_argument("--stores", type=_stores, default=list(MODES), help=", ".join(MODES))
    names = ", ".join(each.name for each in plan(FULL))
    parser.add_argument("--workloads", type=_names, default=[""], help=f"begin so: {names}")
    parser.add_argument("--rounds", type=int, help=f"{NORMAL_EFFORT.rounds}")
    parser.add_argument("--peers", action="store_true", help="also those of other packages")
    parser.add_argument("--quick", action="store_true", help="small stores, few calls")
    parser.add_argument("--json", type=Path, help="keep what was found in this file")
    parser.add_argument("--svg", type=Path, help="draw the ratios of the speed")
    parser.add_argument("--directory", help="where the stores lie meanwhile; a disk, not memory")
    sessions, entries, in_file = NORMAL_GROWTH
    parser.add_argument("--sessions", type=_numbers, default=sessions, help="growth: how many")
    parser.add_argument("--entries", type=_numbers, default=entries, help="growth: how many held")
    parser.add_argument("--in-file", type=_numbers, default=in_file, help="growth: sessions in it")
    return parser.parse_args(arguments)


def _part(text: str) -> str:
    if text not in PARTS:
        raise argparse.ArgumentTypeError(f"use {', '.join(PARTS)}")
    return text


def _names(text: str) -> list[str]:
    return text.split(",")


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def _stores(text: str) -> list[str]:
    """Those whose names begin so: sqlite means both."""
    wanted = tuple(text.split(","))
    found = [name for name in MODES if name.startswith(wanted)]
    if not found:
        raise argparse.ArgumentTypeError(f"use {', '.join(MODES)}")
    return found
