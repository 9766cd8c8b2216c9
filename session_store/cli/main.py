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

from session_store.cli.commands import FAILED, INTERRUPTED, PROGRAM
from session_store.cli.output import say
from session_store.cli.parser import make_parser
from session_store.errors import (
    AmbiguousSessionError,
    SessionNotFoundError,
    SessionStoreError,
)


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
