"""How a command of ``session-store`` is added: its help, its example, its function."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    Commands: TypeAlias = argparse._SubParsersAction[argparse.ArgumentParser]

PROGRAM: Final = "session-store"

OK, FAILED, INTERRUPTED = 0, 1, 130


def add_command(
    commands: Commands,
    name: str,
    run: Callable[[argparse.Namespace], int],
    *,
    does: str,
    example: str,
) -> argparse.ArgumentParser:
    """The command's parser; ``run`` returns the exit code."""
    parser = commands.add_parser(
        name, help=does, description=f"{does[0].upper()}{does[1:]}.", epilog=f"example: {example}"
    )
    parser.set_defaults(run=run)
    return parser
