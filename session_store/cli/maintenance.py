"""``session-store backup``, ``verify`` and ``repair``: a copy, a look at everything, a rescue."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING

from session_store.cli.commands import FAILED, OK, add_command
from session_store.cli.moving import destination, show, told
from session_store.cli.output import Output, add_json_option
from session_store.cli.store import add_store_option, settings_of
from session_store.presentation.counting import counted

if TYPE_CHECKING:
    from session_store.cli.commands import Commands
    from session_store.maintenance import Finding


def backup(arguments: argparse.Namespace) -> int:
    from session_store.maintenance import backup_store

    storage = settings_of(arguments.store).storage
    with told("copying") as tell:
        report = backup_store(
            storage, arguments.place, overwrite=arguments.overwrite, on_progress=tell
        )
    show(arguments, report, f"{report.path}: {report.bytes:,} bytes, whole and checked")
    return OK


def verify(arguments: argparse.Namespace) -> int:
    from session_store.factory import options_of
    from session_store.maintenance import verify_store

    settings, output = settings_of(arguments.store), Output()

    def tell_of(finding: Finding) -> None:
        if arguments.json:
            output.json(asdict(finding))
        else:
            output.line(f"wrong: {finding}")

    with told("verifying") as tell:
        report = verify_store(
            settings.storage, on_finding=tell_of, on_progress=tell, **options_of(settings)
        )
    wrong = counted(report.wrong, "thing is", "things are")
    read = _held(report.sessions, report.entries)
    show(arguments, report, f"{settings.storage.path}: read {read}; {wrong} wrong")
    return FAILED if report.wrong else OK


def repair(arguments: argparse.Namespace) -> int:
    from session_store.maintenance import repair_store

    source, output = settings_of(arguments.source).storage, Output()

    def tell_of(finding: Finding) -> None:
        if arguments.json:
            output.json(asdict(finding))
        else:
            output.line(f"lost: {finding}")

    with destination(arguments.destination) as target, told("recovering") as tell:
        report = repair_store(source, target, arguments.aside, on_lost=tell_of, on_progress=tell)
    aside = f"; {counted(report.aside, 'line')} in {arguments.aside}" if report.aside else ""
    read = _held(report.sessions, report.entries)
    lost = counted(report.lost, "loss", "losses")
    show(arguments, report, f"{arguments.destination}: recovered {read}; {lost}{aside}")
    return FAILED if report.lost else OK


def add_to(commands: Commands) -> None:
    parser = add_command(
        commands,
        "backup",
        backup,
        does="copy a store in use, as of one moment, into a file that can be opened as a store",
        example="session-store backup backups/2026-01-31.db --store data/sessions.db",
    )
    parser.add_argument(
        "place",
        metavar="FILE|DIR",
        help="a new .db file for SQLite, or a directory, which is made: the copy is its "
        "sessions.json or sessions.db",
    )
    parser.add_argument("--overwrite", action="store_true", help="let it take the place of a file")
    _add_options(parser)
    parser = add_command(
        commands,
        "verify",
        verify,
        does="read all of a store and say what is wrong where; exit 1 if something is",
        example="session-store verify --store backups/2026-01-31.db",
    )
    _add_options(parser)
    parser = add_command(
        commands,
        "repair",
        repair,
        does="put what can be read of a damaged store into a new one, and list what is lost; exit "
        "1 if something is",
        example="session-store repair data/sessions.db recovered.db",
    )
    parser.add_argument(
        "source", metavar="SOURCE", help="a .db file or a directory with sessions.json; it stays"
    )
    parser.add_argument(
        "destination", metavar="DESTINATION", help="the URL or path of an empty store, made if new"
    )
    parser.add_argument(
        "--aside",
        metavar="FILE",
        default="not-recovered.jsonl",
        help="a new file for what can be read, but is not whole: default %(default)s",
    )
    add_json_option(parser)


def _add_options(parser: argparse.ArgumentParser) -> None:
    add_store_option(parser)
    add_json_option(parser)


def _held(sessions: int, entries: int) -> str:
    return f"{counted(sessions, 'session')} with {counted(entries, 'entry', 'entries')}"
