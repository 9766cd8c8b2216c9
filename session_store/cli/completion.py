"""``session-store completion``: what a shell needs to complete commands, options and choices."""

from __future__ import annotations

import argparse
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from session_store.cli.commands import OK, add_command

if TYPE_CHECKING:
    from collections.abc import Iterator

    from session_store.cli.commands import Commands

SHELLS: Final = ("bash", "zsh", "fish")
PATHS: Final = ("store", "file", "keep")
"""Arguments that are, or may be, names of files."""


def run(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    import shtab

    for action in _actions(parser):
        if action.dest in PATHS:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
    print(shtab.complete(parser, shell=arguments.shell))
    return OK


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Of all commands, and of their commands."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            choices: dict[str, Any] = action.choices
            for child in choices.values():
                yield from _actions(child)


def add_to(commands: Commands, whole: argparse.ArgumentParser) -> None:
    """``whole`` is the parser of all commands, which is complete when one is run."""
    parser = add_command(
        commands,
        "completion",
        partial(run, whole),
        does="print what makes a shell complete commands and options",
        example="session-store completion bash > ~/.local/share/bash-completion/completions/"
        "session-store",
    )
    parser.description = (
        "Print what makes a shell complete commands and options: for bash as in the example, for "
        "zsh into a file _session-store in a directory of $fpath, for fish into "
        "~/.config/fish/completions/session-store.fish."
    )
    parser.add_argument("shell", choices=SHELLS, help="the shell")
