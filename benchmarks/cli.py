"""How fast the stores are, beside hand-written SQL and an fsynced replace of the same file.

    python -m benchmarks                                             # all of it
    python -m benchmarks --stores sqlite-full --workloads turn,load  # names begin so

Absolute times are of the machine that it ran on; the ratios compare stores of one durability, in
turn in one run. PostgreSQL is started for it: one that is installed, or one from a wheel.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from benchmarks import report, results
from benchmarks.measure import Effort, measured
from benchmarks.modes import MODES, Places
from benchmarks.plan import FULL, QUICK, plan
from benchmarks.subjects import CANDIDATES, FLOOR, OURS, PEERS, Candidate

if TYPE_CHECKING:
    from tests.servers.postgres import PostgresServer

BEGAN = time.perf_counter()
NORMAL_EFFORT = Effort(rounds=7, calls=20, limit=1.0)
QUICK_EFFORT = Effort(rounds=2, calls=4, limit=0.2)


def main(arguments: Sequence[str] | None = None) -> None:
    options = parsed(arguments)
    with TemporaryDirectory(dir=options.directory) as directory, server(options) as postgres:
        places = Places(Path(directory), postgres)
        stores = [name for name in options.stores if postgres or MODES[name].kind != "postgresql"]
        speed(options, stores, places)


def speed(options: argparse.Namespace, stores: Sequence[str], places: Places) -> None:
    effort = QUICK_EFFORT if options.quick else NORMAL_EFFORT
    effort = effort._replace(rounds=options.rounds or effort.rounds)
    workloads = [
        each
        for each in plan(QUICK if options.quick else FULL)
        if each.name.startswith(tuple(options.workloads))
    ]
    candidates = chosen(stores, with_peers=options.peers)
    lines = results.lines(measured(workloads, candidates, places, effort, say))
    report.show(report.console(), lines)
    if options.json:
        rows = [results.as_json(line, MODES[line.mode].durability, FLOOR, OURS) for line in lines]
        results.save(options.json, "speed", rows, effort)


def chosen(stores: Sequence[str], *, with_peers: bool) -> list[Candidate]:
    candidates = [*CANDIDATES, *(PEERS if with_peers else ())]
    for name in sorted({each.name for each in candidates if not each.is_installed}):
        say(f"without {name}, which is not installed")
    return [each for each in candidates if each.mode in stores and each.is_installed]


@contextmanager
def server(options: argparse.Namespace) -> Iterator[PostgresServer | None]:
    """A PostgreSQL that waits for its disk, where one is wanted and there is one."""
    if not any(MODES[name].kind == "postgresql" for name in options.stores):
        yield None
        return
    from tests.servers.daemon import NoServerError
    from tests.servers.postgres import running_postgres

    running = running_postgres(durable=True)
    try:
        found = running.__enter__()
    except NoServerError as error:
        say(f"without PostgreSQL: {error}")
        yield None
        return
    try:
        yield found
    finally:
        running.__exit__(None, None, None)


def say(progress: str) -> None:
    """Beside the table, with the seconds since the beginning."""
    print(f"{time.perf_counter() - BEGAN:5.0f} s  {progress}", file=sys.stderr, flush=True)


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--stores", type=_stores, default=list(MODES), help=",".join(MODES))
    parser.add_argument(
        "--workloads",
        type=lambda text: text.split(","),
        default=[""],
        help=f"what their names begin with: {','.join(each.name for each in plan(FULL))}",
    )
    parser.add_argument("--rounds", type=int, help=f"{NORMAL_EFFORT.rounds}")
    parser.add_argument("--peers", action="store_true", help="also those of other packages")
    parser.add_argument("--quick", action="store_true", help="small stores, few calls")
    parser.add_argument("--json", type=Path, help="keep what was found in this file")
    parser.add_argument("--directory", help="where the stores lie meanwhile; a disk, not memory")
    return parser.parse_args(arguments)


def _stores(text: str) -> list[str]:
    """Those whose names begin so: sqlite means both."""
    wanted = tuple(text.split(","))
    found = [name for name in MODES if name.startswith(wanted)]
    if not found:
        raise argparse.ArgumentTypeError(f"use {', '.join(MODES)}")
    return found
