"""``session-store demo``: the library at work, for who sees it for the first time."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Final

from session_store.cli.commands import OK, add_command

if TYPE_CHECKING:
    from session_store.cli.commands import Commands

ALL: Final = 180
SIZES: Final = {"sqlite": ALL, "file": 60}
"""Conversations of the demo by default: a JSON file is written whole with every turn."""


def demo(arguments: argparse.Namespace) -> int:
    from session_store.demo.story import run

    wanted = arguments.conversations or SIZES[arguments.storage]
    run(arguments.storage, wanted, arguments.keep)
    return OK


def add_to(commands: Commands) -> None:
    parser = add_command(
        commands,
        "demo",
        demo,
        does="see it at work: real conversations, a crash, nothing lost",
        example="session-store demo --storage file --conversations 20",
    )
    parser.add_argument(
        "--storage",
        choices=tuple(SIZES),
        default="sqlite",
        help="the kind of store; default: %(default)s",
    )
    parser.add_argument(
        "--conversations",
        type=_conversations,
        metavar="N",
        help=f"how many of the {ALL} conversations; default: all for sqlite, "
        f"{SIZES['file']} for file, which is written whole with every turn",
    )
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="keep the store in DIR, a new or empty directory"
    )


def _conversations(text: str) -> int:
    if text.isdecimal() and 1 <= int(text) <= ALL:
        return int(text)
    raise argparse.ArgumentTypeError(f"must be a number from 1 to {ALL}, not {text!r}")
