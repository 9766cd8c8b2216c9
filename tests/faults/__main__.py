"""``python -m tests.faults``: run checks of the fault suite, and print their table.

Exits with 1 where one fails more often than its bound, or does not catch its broken variant.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests.faults import report
from tests.faults.frame import Check, is_caught, run, run_broken
from tests.faults.place import Servers
from tests.faults.suite import checks
from tests.servers.daemon import NoServerError
from tests.servers.pgbouncer import running_pgbouncer
from tests.servers.postgres import running_postgres


class Result(NamedTuple):
    row: report.Row
    failures: list[str]


def main(arguments: list[str] | None = None) -> int:
    chosen = _parser().parse_args(arguments)
    logging.getLogger().addHandler(logging.NullHandler())
    failures: list[str] = []
    wanted = [check for check in checks() if not chosen.ids or check.id in chosen.ids]
    print(*report.head(), sep="\n", flush=True)
    with ExitStack() as stack:
        for result in _results(wanted, Servers(_starter(stack)), small=chosen.small):
            print(report.line(result.row), flush=True)
            failures += result.failures
            if chosen.write:
                order = [_names(check, store) for check in checks() for store in check.stores]
                report.update(chosen.write, [result.row], order)
    print(*failures, sep="\n", file=sys.stderr)
    return bool(failures)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("ids", nargs="*", metavar="ID", help="such as F1; all if none is given")
    parser.add_argument("--small", action="store_true", help="the counts of `make test`")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the rows into this page")
    return parser


def _starter(stack: ExitStack) -> Any:
    """What has a server started once, and ended with the stack."""
    servers: dict[str, Any] = {}

    def get(name: str) -> Any:
        if name not in servers:
            start = {"postgres_server": running_postgres, "pgbouncer": pgbouncer}[name]
            servers[name] = stack.enter_context(start())
        return servers[name]

    def pgbouncer() -> Any:
        return running_pgbouncer(get("postgres_server"))

    return get


def _results(wanted: list[Check], servers: Servers, *, small: bool) -> Iterator[Result]:
    for check in wanted:
        for store in check.stores:
            missing = check.missing()
            try:
                yield (
                    _skipped(check, store, missing)
                    if missing
                    else _result(check, store, servers, check.trials[0 if small else 1])
                )
            except NoServerError as error:
                yield _skipped(check, store, str(error).partition("\n")[0])


def _result(check: Check, store: str, servers: Servers, trials: int) -> Result:
    held = run(check, store, servers, trials)
    with silence():
        broken = {one: run_broken(check, store, servers, one) for one in check.broken}
    caught = {one: is_caught(check, found) for one, found in broken.items()}
    name = f"{check.name}-{store}"
    failures = [
        f"{name}: {text}" for text in held.failures[: 10 * (len(held.failures) > check.bound)]
    ]
    failures += [f"{name}: {_title(one)} is not caught" for one in broken if not caught[one]]
    row = [
        *_names(check, store),
        f"{held.trials:,}",
        f"{len(held.failures):,}",
        f"{check.bound:,}",
        "; ".join(f"{_title(one)}: {'' if caught[one] else 'NOT '}caught" for one in broken),
        f"{held.seconds:.0f}",
        check.remark,
    ]
    return Result(row, failures)


@contextmanager
def silence() -> Iterator[None]:
    """What breaks as it should says nothing, in child processes neither."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _skipped(check: Check, store: str, reason: str) -> Result:
    return Result([*_names(check, store), "", "", f"{check.bound:,}", "", "", reason], [])


def _names(check: Check, store: str) -> list[str]:
    return [check.id, check.promise, store]


def _title(broken: Any) -> str:
    return str(broken.__name__).replace("_", " ")


if __name__ == "__main__":
    sys.exit(main())
