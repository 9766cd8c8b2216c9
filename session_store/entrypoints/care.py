"""``session-store backup``, ``verify`` and ``repair``: a copy, a look at everything, a rescue."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from session_store.entrypoints.commands import FAILED, OK, add_command, counted
from session_store.entrypoints.moving import show, told
from session_store.entrypoints.output import Output, add_json_option
from session_store.entrypoints.store import add_store_option, settings_of

if TYPE_CHECKING:
    from session_store.entrypoints.commands import Commands


def backup(arguments: argparse.Namespace) -> int:
    from session_store.transfer.backup import backup_store

    size = backup_store(settings_of(arguments.store).storage, arguments.file)
    if arguments.json:
        Output().json({"file": arguments.file, "bytes": size})
    else:
        Output().line(f"{arguments.file}: {size:,} bytes, checked")
    return OK


def verify(arguments: argparse.Namespace) -> int:
    from session_store.factory import options_of
    from session_store.transfer.verifying import verify_store

    settings = settings_of(arguments.store)
    with told("verifying") as tell:
        report = verify_store(settings.storage, on_progress=tell, **options_of(settings))
    read = _held(report.sessions, report.entries)
    if arguments.json:
        show(arguments, report, "")
    else:
        for wrong in report.wrong:
            Output().line(f"wrong: {wrong}")
        found = counted(len(report.wrong), "thing is", "things are")
        Output().line(f"{settings.storage.path}: read {read}; {found} wrong")
    return FAILED if report.wrong else OK


def repair(arguments: argparse.Namespace) -> int:
    from session_store.backends import open_storage
    from session_store.factory import options_of
    from session_store.transfer.repairing import repair_store

    settings, target = settings_of(arguments.store), settings_of(arguments.destination)
    with open_storage(target.storage, **options_of(target)) as destination:
        report = repair_store(settings.storage, destination)
    if arguments.json:
        show(arguments, report, "")
    else:
        for lost in report.lost:
            Output().line(f"lost: {lost}")
        read = _held(report.sessions, report.entries)
        found = counted(len(report.lost), "loss", "losses")
        Output().line(f"{target.storage.path}: recovered {read}; {found}")
    return FAILED if report.lost else OK


def add_to(commands: Commands) -> None:
    parser = add_command(
        commands,
        "backup",
        backup,
        does="copy a store in use to a file, as of one moment: SQLite or the JSON file",
        example="session-store backup /backup/sessions-2026-01-31.db",
    )
    parser.add_argument("file", metavar="FILE", help="a new file, for its owner only")
    _add_options(parser)
    parser = add_command(
        commands,
        "verify",
        verify,
        does="read all of a store and say what is wrong where; exit 1 if something is",
        example="session-store verify --store /backup/sessions-2026-01-31.db",
    )
    _add_options(parser)
    parser = add_command(
        commands,
        "repair",
        repair,
        does="put what can be read of a damaged store into a new one, and list what is lost; exit "
        "1 if something is",
        example="session-store repair recovered.db --store sessions.db",
    )
    parser.add_argument(
        "destination", metavar="DESTINATION", help="the URL or path of an empty store, made if new"
    )
    _add_options(parser)


def _add_options(parser: argparse.ArgumentParser) -> None:
    add_store_option(parser)
    add_json_option(parser)


def _held(sessions: int, entries: int) -> str:
    return f"{counted(sessions, 'session')} with {counted(entries, 'entry', 'entries')}"
