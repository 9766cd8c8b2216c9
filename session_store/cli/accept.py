"""``session-store accept``: takes what was edited by hand in a JSON file for right."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from session_store.cli.commands import OK, add_command
from session_store.cli.output import Output, add_json_option
from session_store.presentation.counting import counted

if TYPE_CHECKING:
    from session_store.cli.commands import Commands


def accept(arguments: argparse.Namespace) -> int:
    from session_store.backends.json_file.repository import accept_edited_file

    count = accept_edited_file(arguments.file)
    if arguments.json:
        Output().json({"file": str(arguments.file), "sessions": count})
    else:
        print(f"{arguments.file}: accepted, {counted(count, 'session')}")
    return OK


def add_to(commands: Commands) -> None:
    parser = add_command(
        commands,
        "accept",
        accept,
        does="accept a sessions.json that was edited by hand",
        example="session-store accept data/sessions/sessions.json",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="the edited sessions.json")
    add_json_option(parser)
