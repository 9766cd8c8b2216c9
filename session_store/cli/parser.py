"""The parser of ``session-store``, of all commands: each is a module that adds itself to it."""

from __future__ import annotations

import argparse

from session_store import __version__
from session_store.cli import (
    accept,
    archiving,
    completion,
    db,
    demo,
    listing,
    maintenance,
    moving,
    removal,
    search,
    show,
    stats,
)
from session_store.cli.commands import PROGRAM


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        usage=f"{PROGRAM} [-h] [--version] COMMAND [OPTIONS]",
        description="Durable sessions for applications that hold conversations.",
        epilog=f"example: {PROGRAM} stats --store data/sessions.db",
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    commands = parser.add_subparsers(
        title="commands", prog=PROGRAM, metavar="COMMAND", required=True
    )
    stats.add_to(commands)
    listing.add_to(commands)
    show.add_to(commands)
    search.add_to(commands)
    removal.add_to(commands)
    demo.add_to(commands)
    accept.add_to(commands)
    moving.add_to(commands)
    archiving.add_to(commands)
    maintenance.add_to(commands)
    db.add_to(commands)
    completion.add_to(commands, parser)
    return parser
