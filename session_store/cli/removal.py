"""``session-store delete`` and ``cleanup``: what is removed is gone for good, so both ask."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from session_store.cli.asking import add_yes_option, check_can_ask, is_meant
from session_store.cli.commands import FAILED, OK, add_command
from session_store.cli.conditions import add_session, hours
from session_store.cli.output import Output, add_json_option
from session_store.cli.progress import progress
from session_store.cli.store import add_store_option, opened
from session_store.presentation.counting import counted

if TYPE_CHECKING:
    from session_store.cli.commands import Commands
    from session_store.service import SessionService
    from session_store.session import Session


def delete(arguments: argparse.Namespace) -> int:
    check_can_ask(arguments)
    output = Output()
    with opened(arguments) as service:
        heads = [_head(service, id_, arguments) for id_ in dict.fromkeys(arguments.id)]
        if not is_meant(arguments, partial(_what_is_deleted, service, heads)):
            return FAILED
        with progress("deleting", len(heads)) as advance:
            for head in heads:
                app_name, user_id, session_id = head.key
                if service.delete_session(session_id, user_id=user_id, app_name=app_name):
                    _tell_deleted(output, head, as_json=arguments.json)
                advance()
    return OK


def cleanup(arguments: argparse.Namespace) -> int:
    if arguments.dry_run:
        return _count(arguments)
    check_can_ask(arguments)
    with opened(arguments) as service:
        question = partial(_what_goes, service, arguments.max_age_hours)
        if not is_meant(arguments, question):
            return FAILED
        total = service.count_expired_sessions(arguments.max_age_hours)
        with progress("removing", total) as advance:
            removed = service.cleanup_expired_sessions(arguments.max_age_hours, on_removed=advance)
    if arguments.json:
        Output().json({"removed": removed})
    else:
        Output().line(f"removed {counted(removed, 'session')}")
    return OK


def _count(arguments: argparse.Namespace) -> int:
    with opened(arguments) as service:
        found = service.count_expired_sessions(arguments.max_age_hours)
    if arguments.json:
        Output().json({"would_remove": found})
    else:
        Output().line(f"would remove {counted(found, 'session')}")
    return OK


def _what_goes(service: SessionService, max_age_hours: float | None) -> str:
    found = service.count_expired_sessions(max_age_hours)
    return f"remove {counted(found, 'session')} from {service.storage.path}"


def _head(service: SessionService, session_id: str, arguments: argparse.Namespace) -> Session:
    """All are found before the first is deleted."""
    return service.get_session(session_id, user_id=arguments.user, app_name=arguments.app, last=0)


def _what_is_deleted(service: SessionService, heads: Sequence[Session]) -> str:
    entries = counted(sum(head.last_seq for head in heads), "entry", "entries")
    return f"delete {counted(len(heads), 'session')} with {entries} from {service.storage.path}"


def _tell_deleted(output: Output, head: Session, *, as_json: bool) -> None:
    if as_json:
        output.json(head.key._asdict())
    else:
        output.line(f"deleted {head.session_id} of {head.user_id} in {head.app_name}")


def add_to(commands: Commands) -> None:
    _add_delete(commands)
    _add_cleanup(commands)


def _add_delete(commands: Commands) -> None:
    parser = add_command(
        commands,
        "delete",
        delete,
        does="delete sessions and their histories, for good",
        example="session-store delete interview-1 interview-2 --user ada",
    )
    parser.description = (
        "Delete sessions and their histories, for good. All are looked up before the first is "
        "deleted: if one is missing, or its id is several users', nothing is."
    )
    add_session(parser, several=True)
    add_yes_option(parser)
    add_store_option(parser)
    add_json_option(parser)


def _add_cleanup(commands: Commands) -> None:
    parser = add_command(
        commands,
        "cleanup",
        cleanup,
        does="remove the sessions that have expired, as the application's hourly cleanup does",
        example="session-store cleanup --max-age-hours 720 --dry-run",
    )
    parser.add_argument("--dry-run", action="store_true", help="only say how many it would remove")
    parser.add_argument(
        "--max-age-hours",
        type=hours,
        metavar="HOURS",
        help="remove what is idle (by SESSION_EXPIRATION_POLICY: old) for longer than this; "
        "default: SESSION_EXPIRATION_HOURS",
    )
    add_yes_option(parser)
    add_store_option(parser)
    add_json_option(parser)
