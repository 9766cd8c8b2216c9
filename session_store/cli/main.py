"""The ``session-store`` command. Data goes to stdout, messages to stderr.

Exit codes: 0 it worked, 1 it failed, 2 wrong usage, 130 interrupted. A command is a function of
its arguments that returns the exit code, and a block that adds its parser. What is expensive to
import is imported in the function, so that ``--help`` answers at once.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from session_store import __version__
from session_store.cli import (
    archiving,
    completion,
    db,
    listing,
    moving,
    removal,
    search,
    show,
    stats,
)
from session_store.cli import (
    maintenance as care,
)
from session_store.cli.commands import FAILED, INTERRUPTED, OK, add_command
from session_store.cli.output import Output, add_json_option, say
from session_store.errors import (
    AmbiguousSessionError,
    SessionNotFoundError,
    SessionStoreError,
)
from session_store.presentation.counting import counted

if TYPE_CHECKING:
    from session_store.cli.commands import Commands

PROGRAM: Final = "session-store"
ALL: Final = 180
DEMO_SIZES: Final = {"sqlite": ALL, "file": 60}
"""Conversations of the demo by default: a JSON file is written whole with every turn."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; wrong usage exits with 2, as argparse does."""
    arguments = make_parser().parse_args(argv)
    run: Callable[[argparse.Namespace], int] = arguments.run
    try:
        code = run(arguments)
        sys.stdout.flush()  # here, where a reader who has gone is no trouble
        return code
    except SessionStoreError as error:
        return _failed(f"error: {_explained(error)}", FAILED)
    except KeyboardInterrupt:
        return _failed("interrupted", INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing left to flush to
        return FAILED


def demo(arguments: argparse.Namespace) -> int:
    from session_store.demo.story import run

    wanted = arguments.conversations or DEMO_SIZES[arguments.storage]
    run(arguments.storage, wanted, arguments.keep)
    return OK


def accept(arguments: argparse.Namespace) -> int:
    from session_store.backends.json_file.repository import accept_edited_file

    count = accept_edited_file(arguments.file)
    if arguments.json:
        Output().json({"file": str(arguments.file), "sessions": count})
    else:
        print(f"{arguments.file}: accepted, {counted(count, 'session')}")
    return OK


def make_parser() -> argparse.ArgumentParser:
    """Of all commands."""
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
    _add_demo(commands)
    _add_accept(commands)
    moving.add_to(commands)
    archiving.add_to(commands)
    care.add_to(commands)
    db.add_to(commands)
    completion.add_to(commands)
    return parser


def _add_demo(commands: Commands) -> None:
    parser = add_command(
        commands,
        "demo",
        demo,
        does="see it at work: real conversations, a crash, nothing lost",
        example="session-store demo --storage file --conversations 20",
    )
    parser.add_argument(
        "--storage",
        choices=tuple(DEMO_SIZES),
        default="sqlite",
        help="the kind of store; default: %(default)s",
    )
    parser.add_argument(
        "--conversations",
        type=_conversations,
        metavar="N",
        help=f"how many of the {ALL} conversations; default: all for sqlite, "
        f"{DEMO_SIZES['file']} for file, which is written whole with every turn",
    )
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="keep the store in DIR, a new or empty directory"
    )


def _add_accept(commands: Commands) -> None:
    parser = add_command(
        commands,
        "accept",
        accept,
        does="accept a sessions.json that was edited by hand",
        example="session-store accept data/sessions/sessions.json",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="the edited sessions.json")
    add_json_option(parser)


def _conversations(text: str) -> int:
    if text.isdecimal() and 1 <= int(text) <= ALL:
        return int(text)
    raise argparse.ArgumentTypeError(f"must be a number from 1 to {ALL}, not {text!r}")


def _explained(error: SessionStoreError) -> str:
    """What to do next, where that is another thing than in a program."""
    match error:
        case AmbiguousSessionError():
            whose = f"{error.session_id!r} belongs to several users of {error.app_name!r}"
            return f"session id {whose}; say whose with --user"
        case SessionNotFoundError():
            return f"no live session {error.key}; `{PROGRAM} list` shows those there are"
        case _:
            return str(error)


def _failed(message: str, code: int) -> int:
    say(f"{PROGRAM}: {message}")
    return code
