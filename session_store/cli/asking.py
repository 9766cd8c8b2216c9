"""Before something is destroyed: ``--yes``, or a question to who sits at the terminal."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from session_store.cli.output import say
from session_store.presentation.escaping import line


def add_yes_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--yes", action="store_true", help="do it without asking")
    parser.set_defaults(refuse=parser.error)


def check_can_ask(arguments: argparse.Namespace) -> None:
    """Wrong usage where nobody could answer."""
    if not (arguments.yes or (sys.stdin.isatty() and sys.stderr.isatty())):
        arguments.refuse("nobody is there to be asked; add --yes if you mean it")


def is_meant(arguments: argparse.Namespace, what: Callable[[], str]) -> bool:
    """Whether to do ``what``: by ``--yes``, or by the answer. Anything but yes is no."""
    if arguments.yes:
        return True
    sys.stderr.write(f"{line(what())}? [y/N] ")
    sys.stderr.flush()
    answer = sys.stdin.readline().strip().lower()
    if answer in ("y", "yes"):
        return True
    say("nothing was changed")
    return False
