"""``session-store archive`` and ``restore``: sessions out of the store into files, and back."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from session_store.cli.commands import OK, add_command
from session_store.cli.conditions import add_session
from session_store.cli.moving import show, told
from session_store.cli.output import Output, add_json_option
from session_store.cli.store import add_store_option, opened, settings_of
from session_store.errors import SettingsError
from session_store.presentation.counting import counted

if TYPE_CHECKING:
    from session_store.cli.commands import Commands
    from session_store.transfer.archive import ArchivePolicy

MOST_DAYS = 36_525


def archive(arguments: argparse.Namespace) -> int:
    from session_store.transfer.archive import archive_due

    policy = _policy(arguments)
    with opened(arguments) as service, told("archiving") as tell:
        report = archive_due(service.repository, policy, service._moment(), on_progress=tell)
    kept = f"; {report.kept:,} were written to meanwhile and stay" if report.kept else ""
    pruned = f"; removed {counted(report.pruned, 'old file')}" if report.pruned else ""
    files = f"{counted(report.files, 'file')} of {report.bytes:,} bytes"
    entries = counted(report.entries, "entry", "entries")
    show(
        arguments,
        report,
        f"archived {counted(report.sessions, 'session')} with {entries} in {files}{kept}{pruned}",
    )
    return OK


def restore(arguments: argparse.Namespace) -> int:
    from session_store.transfer.archive import Archive, restore_session

    store = Archive(_policy(arguments).path)
    found = store.find(arguments.id, arguments.user, arguments.app)
    with opened(arguments) as service:
        put = restore_session(service.repository, store, found, service._moment())
    if arguments.json:
        Output().json(put.key._asdict() | {"version": put.record.version, "file": str(found.path)})
    else:
        entries = counted(put.record.last_seq, "entry", "entries")
        Output().line(f"restored {arguments.id} with {entries} from {found.path}")
    return OK


def add_to(commands: Commands) -> None:
    _add_archive(commands)
    _add_restore(commands)


def _add_archive(commands: Commands) -> None:
    parser = add_command(
        commands,
        "archive",
        archive,
        does="move expired and old completed sessions from the store to compressed files",
        example="session-store archive --archive /srv/archive --completed-days 30",
    )
    parser.add_argument(
        "--completed-days",
        type=_days,
        metavar="N",
        help="also sessions that are completed and were last written N days ago or earlier; "
        "default: SESSION_ARCHIVE_COMPLETED_DAYS, or none",
    )
    _add_directory(parser)
    add_store_option(parser)
    add_json_option(parser)


def _add_restore(commands: Commands) -> None:
    parser = add_command(
        commands,
        "restore",
        restore,
        does="put an archived session back into the store, as if it had been used now",
        example="session-store restore interview-1 --user ada",
    )
    add_session(parser)
    _add_directory(parser)
    add_store_option(parser)
    add_json_option(parser)


def _add_directory(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--archive", metavar="DIR", help="where the files are; default: SESSION_ARCHIVE_PATH"
    )


def _days(text: str) -> float:
    try:
        days = float(text)
    except ValueError:
        days = -1.0
    if not 0 <= days <= MOST_DAYS:
        raise argparse.ArgumentTypeError(f"must be a number of days, 0 or more, not {text!r}")
    return days


def _policy(arguments: argparse.Namespace) -> ArchivePolicy:
    from dataclasses import replace
    from datetime import timedelta

    from session_store.factory import archive_of
    from session_store.transfer.archive import ArchivePolicy

    policy = archive_of(settings_of(arguments.store))
    if arguments.archive:
        policy = replace(policy or ArchivePolicy(path=""), path=arguments.archive)
    if policy is None:
        raise SettingsError("name an archive: --archive DIR, or SESSION_ARCHIVE_PATH")
    days = getattr(arguments, "completed_days", None)
    return policy if days is None else replace(policy, completed_after=timedelta(days=days))
