"""``session-store export``, ``import`` and ``copy``: to a file, from one, to another store.

What is read from stays as it is; what is written to is made where there is none.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from session_store.cli.asking import add_yes_option, check_can_ask, is_meant
from session_store.cli.commands import FAILED, OK, add_command
from session_store.cli.output import Output, add_json_option, say
from session_store.cli.progress import progress
from session_store.cli.store import add_store_option, settings_of
from session_store.presentation.counting import counted

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from session_store.cli.commands import Commands
    from session_store.repository import SessionRepository
    from session_store.transfer.sessions import Progress
    from session_store.transfer.sources import Source

POLICIES: Final = ("fail", "skip", "replace", "newer")


def export(arguments: argparse.Namespace) -> int:
    from session_store.transfer import export_sessions

    with source(arguments.store) as found, told("exporting") as tell:
        report = export_sessions(
            found.repository, arguments.file, overwrite=arguments.overwrite, on_progress=tell
        )
    text = f"exported {_held(report)}; {report.bytes:,} bytes"
    if arguments.file == "-":
        say(text)  # standard output is the export itself
    else:
        show(arguments, report, text)
    return OK


def import_(arguments: argparse.Namespace) -> int:
    from session_store.transfer import import_sessions

    with destination(arguments.store) as repository, told("importing") as tell:
        report = import_sessions(
            arguments.file, repository, on_conflict=arguments.on_conflict, on_progress=tell
        )
    show(
        arguments,
        report,
        f"imported {counted(report.added, 'new session')}, replaced {report.replaced:,}, "
        f"skipped {report.skipped:,}, {report.unchanged:,} were there already; "
        f"{_entries(report.entries)} and {_shared(report.shared)} written",
    )
    return OK


def copy(arguments: argparse.Namespace) -> int:
    from session_store.errors import SettingsError
    from session_store.transfer import copy_sessions

    if arguments.delete:
        check_can_ask(arguments)
        if not is_meant(arguments, partial(_what_is_lost, arguments)):
            return FAILED
    with source(arguments.source) as found:
        if found.is_copy and arguments.live:
            raise SettingsError(
                f"{arguments.source} is of an older release, and is read as it is now: stop the "
                "application first, and copy without --live"
            )
        with destination(arguments.destination) as repository, told("copying") as tell:
            report = copy_sessions(
                found.repository,
                repository,
                on_conflict=arguments.on_conflict,
                delete=arguments.delete,
                verify=not arguments.no_verify,
                freeze=_wait if arguments.live else None,
                on_progress=tell,
            )
    show(
        arguments,
        report,
        f"copied {counted(report.copied, 'session')} with {_entries(report.entries_copied)} and "
        f"{_shared(report.shared)}; removed {report.removed:,}, kept {report.kept:,}, compared "
        f"{report.compared:,} that were there already. Both sides hold {_held(report)}",
    )
    return OK


def add_to(commands: Commands) -> None:
    """The three commands."""
    _add_export(commands)
    _add_import(commands)
    _add_copy(commands)


def _add_export(commands: Commands) -> None:
    parser = add_command(
        commands,
        "export",
        export,
        does="write all sessions to a file that anybody can read: JSON Lines",
        example="session-store export sessions-2026-01-31.jsonl.zst",
    )
    parser.add_argument(
        "file",
        metavar="FILE",
        help="a new file, compressed if it ends in .zst or .gz; - is the standard output",
    )
    parser.add_argument("--overwrite", action="store_true", help="let it take the place of a file")
    add_store_option(parser)
    add_json_option(parser)


def _add_import(commands: Commands) -> None:
    parser = add_command(
        commands,
        "import",
        import_,
        does="store the sessions of an export, all checked before the first is written",
        example="session-store import sessions.jsonl.zst --on-conflict newer",
    )
    parser.add_argument(
        "file",
        metavar="FILE",
        help="an export, or a sessions.json or sessions.db, also of the program before this one; "
        "- is the standard input",
    )
    _add_policy(parser, "a session that the store has too, with other content")
    add_store_option(parser)
    add_json_option(parser)


def _add_copy(commands: Commands) -> None:
    parser = add_command(
        commands,
        "copy",
        copy,
        does="copy a store into another one; again, to catch up or to go on",
        example="session-store copy data/sessions.db postgresql://app@db.example/app --live",
    )
    parser.add_argument("source", metavar="SOURCE", help="the URL or path of a store; it stays")
    parser.add_argument(
        "destination",
        metavar="DESTINATION",
        help="of another: empty, or with an earlier copy of the source; tables in PostgreSQL are "
        "made by `session-store db upgrade` before",
    )
    parser.add_argument(
        "--live",
        action="store_true",
        help="while the application runs: copy, catch up, and wait for you to stop it for the end",
    )
    parser.add_argument(
        "--delete", action="store_true", help="remove from the destination what the source has not"
    )
    add_yes_option(parser)
    parser.add_argument(
        "--no-verify",
        action="store_true",
        help="do not read again what an earlier copy has written; what this one writes is always "
        "read back and compared",
    )
    _add_policy(parser, "a session that the destination has from elsewhere")
    add_json_option(parser)


def _add_policy(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument(
        "--on-conflict",
        choices=POLICIES,
        default="fail",
        help=f"what to do with {what}: write nothing at all, keep it, replace it, or keep the one "
        "that was written last; default: %(default)s",
    )


# For the other commands that move sessions --------------------------------------------------------


def show(arguments: argparse.Namespace, report: Any, text: str) -> None:
    """The figures of a report for programs, or in words for people."""
    if arguments.json:
        from dataclasses import asdict

        Output().json(asdict(report))
    else:
        Output().line(text)


def source(store: str | None) -> AbstractContextManager[Source]:
    """A store to read from."""
    from session_store.factory import options_of
    from session_store.transfer import sources

    settings = settings_of(store)
    return sources.opened(settings.storage, **options_of(settings))


def destination(store: str | None) -> SessionRepository:
    """A store to write to."""
    from session_store.backends import open_storage
    from session_store.factory import options_of

    settings = settings_of(store)
    return open_storage(settings.storage, **options_of(settings))


@contextmanager
def told(what: str) -> Iterator[Progress]:
    """Tells who waits how far it is. The bar is gone when all is done, though work goes on."""
    with ExitStack() as stack:
        advance: Callable[[int], None] | None = None
        before = 0

        def tell(done: int, total: int) -> None:
            nonlocal advance, before
            advance = advance or stack.enter_context(progress(what, total))
            advance(done - before)
            before = done
            if done >= total:
                stack.close()

        yield tell


def _what_is_lost(arguments: argparse.Namespace) -> str:
    from session_store.backends import storage_of

    places = [storage_of(one).path for one in (arguments.source, arguments.destination)]
    return "what {} does not have is deleted from {}: go on".format(*places)


def _wait() -> None:
    print(
        "All is copied but what is being written now. Stop the application, and press Enter: ",
        end="",
        file=sys.stderr,
        flush=True,
    )
    if not sys.stdin.readline():
        raise KeyboardInterrupt


def _held(report: Any) -> str:
    held = f"{counted(report.sessions, 'session')} with {_entries(report.entries)}"
    return f"{held}, {_shared(report.shared)}" if report.shared else held


def _entries(number: int) -> str:
    return counted(number, "entry", "entries")


def _shared(number: int) -> str:
    return counted(number, "shared document")
