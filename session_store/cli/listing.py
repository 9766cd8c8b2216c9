"""``session-store list``: the heads of sessions, for people a table, for programs a line each."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Final

from session_store.cli.commands import OK, add_command
from session_store.cli.conditions import add_conditions, conditions_of, number_from
from session_store.cli.output import STATUS_STYLES, Output, Part, add_json_option, say
from session_store.cli.store import add_expired_option, add_store_option, opened
from session_store.cli.table import Column
from session_store.presentation.times import ago, iso

if TYPE_CHECKING:
    from session_store.cli.commands import Commands
    from session_store.service import SessionService
    from session_store.service.keywords import Conditions
    from session_store.session import SessionHead

FIELDS: Final = "session_id, user_id, app_name, status, entries, updated_at, title"
USUAL: Final = 50
PAGE: Final = 1000

COLUMNS: Final = (
    Column("ID", whole=True),
    Column("USER"),
    Column("STATUS", whole=True),
    Column("ENTRIES", right=True, whole=True),
    Column("UPDATED", "dim", whole=True),
    Column("TITLE"),
)


def run(arguments: argparse.Namespace) -> int:
    output, conditions = Output(), conditions_of(arguments)
    with opened(arguments) as service:
        if arguments.all:
            show(output, all_heads(service, conditions), as_json=arguments.json)
        else:
            _show_newest(output, newest(service, conditions, arguments.limit), arguments)
    return OK


def newest(service: SessionService, conditions: Conditions, limit: int) -> Iterator[SessionHead]:
    """Heads by their last write, in pages that suit who wants ``limit`` of them."""
    for page in service.pages(limit=min(limit + 1, PAGE), **conditions):
        yield from page.sessions


def all_heads(service: SessionService, conditions: Conditions) -> Iterator[SessionHead]:
    """Heads by their creation: an order that stays while sessions are used."""
    conditions["order_by"] = "created_at"
    for page in service.pages(**conditions):
        yield from page.sessions


def show(output: Output, heads: Iterable[SessionHead], *, as_json: bool) -> None:
    """Printed as they come, a table for people by the page."""
    if as_json:
        for head in heads:
            output.json(head.model_dump())
    elif output.is_terminal:
        _show_tables(output, iter(heads))
    else:
        for head in heads:
            output.fields(*fields(head))


def fields(head: SessionHead) -> tuple[object, ...]:
    """``FIELDS``, for programs."""
    key = head.session_id, head.user_id, head.app_name
    return *key, head.status, head.last_seq, iso(head.updated_at), title(head)


def title(head: SessionHead) -> str:
    found = head.metadata.get("title")
    return "" if found is None else str(found)


def _show_newest(
    output: Output, heads: Iterator[SessionHead], arguments: argparse.Namespace
) -> None:
    show(output, islice(heads, arguments.limit), as_json=arguments.json)
    if output.is_terminal and next(heads, None):
        say(f"the newest {arguments.limit}; --limit N shows more, --all shows all")


def _show_tables(output: Output, heads: Iterator[SessionHead]) -> None:
    is_first = True
    while page := list(islice(heads, PAGE)):
        output.table(COLUMNS, map(_row, page), header=is_first)
        is_first = False
    if is_first:
        say("no session")


def _row(head: SessionHead) -> Sequence[Part]:
    from session_store.clock import utc_now
    from session_store.session import DEFAULT_APP_NAME

    user = head.user_id if head.app_name == DEFAULT_APP_NAME else f"{head.app_name}/{head.user_id}"
    status = head.status.value
    return (
        head.session_id,
        user,
        (status, STATUS_STYLES[status]),
        f"{head.last_seq:,}",
        ago(head.updated_at, utc_now()),
        title(head),
    )


def add_to(commands: Commands) -> None:
    parser = add_command(
        commands,
        "list",
        run,
        does="list sessions, the newest first",
        example="session-store list --user ada --status running --limit 20",
    )
    parser.description = (
        "List sessions, the newest first. For programs, that is into a pipe or a file, it prints "
        f"the fields {FIELDS}, with a tab between two."
    )
    add_conditions(parser)
    parser.add_argument(
        "--limit",
        type=number_from(1),
        default=USUAL,
        metavar="N",
        help="how many, by their last write; default: %(default)s",
    )
    parser.add_argument(
        "--all", action="store_true", help="all, by their creation, which no write changes"
    )
    add_expired_option(parser)
    add_store_option(parser)
    add_json_option(parser)
