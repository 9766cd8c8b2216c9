"""``session-store stats``: what is in a store, at a glance."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from session_store.cli.commands import OK, add_command
from session_store.cli.conditions import number_from
from session_store.cli.output import STATUS_STYLES, Output, Part, add_json_option
from session_store.cli.progress import progress
from session_store.cli.store import add_store_option, opened
from session_store.presentation.times import ago, ahead, iso, minute

if TYPE_CHECKING:
    from session_store.cli.commands import Commands
    from session_store.presentation.figures import Day, Figures
    from session_store.session import SessionHead

DAYS: Final = 14
MOST_DAYS: Final = 366
BAR: Final = 24
_EIGHTHS: Final = " ▏▎▍▌▋▊▉"
_KINDS: Final = {"file": "JSON file", "sqlite": "SQLite", "postgresql": "PostgreSQL"}
_UNITS: Final = ("bytes", "KB", "MB", "GB", "TB")
_THOUSAND: Final = 1000


def run(arguments: argparse.Namespace) -> int:
    from session_store.clock import utc_now
    from session_store.presentation.figures import figures

    output, now = Output(), utc_now()
    with opened(arguments) as service, progress("counting days", arguments.days) as advance:
        found = figures(service, arguments.days, now, advance)
    if arguments.json:
        output.json(document(found))
    elif output.is_terminal:
        _draw(output, found, now)
    else:
        for row in rows(found):
            output.fields(*row)
    return OK


def document(found: Figures) -> dict[str, Any]:
    """All figures, for programs."""
    stored = found.stored
    names = ("storage_type", "storage_path", "expiration_hours", "expiration_policy")
    return {name: stored[name] for name in names} | {
        "size_bytes": found.size_bytes,
        "sessions": {
            "total": stored["total_sessions"],
            "live": found.live,
            "active": stored["active_sessions"],
            "expired": stored["expired_sessions"],
        },
        "statuses": found.statuses,
        "days": [day._asdict() for day in found.days],
        "oldest": found.oldest and _key(found.oldest) | {"created_at": found.oldest.created_at},
        "next_to_expire": found.next_to_expire
        and _key(found.next_to_expire.head) | {"expires_at": found.next_to_expire.at},
    }


def rows(found: Figures) -> list[Sequence[object]]:
    """The same as lines of fields, of which the first says what the line is about."""
    whole = document(found)
    return [
        *((name, whole[name]) for name in ("storage_type", "storage_path", "size_bytes")),
        *(("sessions", name, number) for name, number in whole["sessions"].items()),
        *(("status", name, number) for name, number in found.statuses.items()),
        *(
            ("day", day.day, day.sessions, day.entries, "estimated" if day.estimated else "exact")
            for day in found.days
        ),
        *_ends(found),
    ]


def _ends(found: Figures) -> list[Sequence[object]]:
    ends: list[Sequence[object]] = []
    if found.oldest:
        ends.append(("oldest", *found.oldest.key[::-1], iso(found.oldest.created_at)))
    if found.next_to_expire:
        head, at = found.next_to_expire
        ends.append(("next_to_expire", *head.key[::-1], iso(at)))
    return ends


def _key(head: SessionHead) -> dict[str, Any]:
    return dict(head.key._asdict())


# For people -------------------------------------------------------------------------------------


def _draw(output: Output, found: Figures, now: datetime) -> None:
    stored = found.stored
    output.line((f"{stored['storage_path']}", "bold"), f"  {_KINDS[stored['storage_type']]}")
    output.line(_size(found))
    output.line()
    output.line(
        (f"{found.live:,}", "bold"),
        f" {'session' if found.live == 1 else 'sessions'}, "
        f"and {stored['expired_sessions']:,} expired that wait for the cleanup",
    )
    _draw_statuses(output, found.statuses)
    output.line()
    _draw_days(output, found.days)
    output.line()
    _draw_ends(output, found, now)


def _draw_statuses(output: Output, statuses: dict[str, int]) -> None:
    most = max(statuses.values())
    for name, number in statuses.items():
        bar = _bar(output, number, most)
        output.line(f"  {name:<13}", *_figure(bar, f"{number:,}", STATUS_STYLES[name]))


def _draw_days(output: Output, days: Sequence[Day]) -> None:
    sessions, entries = max(day.sessions for day in days), max(day.entries for day in days)
    column = BAR + len(f" {sessions:,}  ")
    output.line((f"  {'begun (UTC)':<11} {'sessions':<{column}}entries", "dim"))
    for day in days:
        about = "about " if day.estimated else ""
        output.line(
            f"  {datetime.fromisoformat(day.day):%a %d %b}  ",
            *_figure(_bar(output, day.sessions, sessions), f"{day.sessions:,}", "cyan", column),
            *_figure(_bar(output, day.entries, entries), f"{about}{day.entries:,}", "magenta"),
        )


def _figure(bar: str, number: str, style: str, width: int = 0) -> tuple[Part, ...]:
    number = f" {number}" if bar else number
    return (bar, style), (f"{number:<{max(0, width - len(bar))}}", "dim")


def _draw_ends(output: Output, found: Figures, now: datetime) -> None:
    if found.oldest:
        at = found.oldest.created_at
        _draw_end(output, "oldest", found.oldest, (ago(at, now), minute(at)))
    if found.next_to_expire:
        head, at = found.next_to_expire
        _draw_end(output, "expires next", head, (ahead(at, now), minute(at)))


def _draw_end(output: Output, name: str, head: SessionHead, when: Sequence[str]) -> None:
    output.line(
        (f"{name:<13} ", "dim"),
        f"{', '.join(dict.fromkeys(when))} UTC: {head.session_id} of {head.user_id}",
    )


def _bar(output: Output, number: int, most: int) -> str:
    """What is there at all is seen."""
    if not number:
        return ""
    eighths = max(1, round(number / most * BAR * 8))
    if not output.can_draw:
        return "#" * max(1, eighths // 8)
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def _size(found: Figures) -> str:
    if found.size_bytes is None:
        return ""
    total = found.stored["total_sessions"]
    each = f", {_bytes(found.size_bytes / total)} a session" if total else ""
    return f"{_bytes(found.size_bytes)}{each}"


def _bytes(number: float) -> str:
    for unit in _UNITS[:-1]:
        if number < _THOUSAND:
            return f"{number:.3g} {unit}"
        number /= _THOUSAND
    return f"{number:.3g} {_UNITS[-1]}"


def add_to(commands: Commands) -> None:
    parser = add_command(
        commands,
        "stats",
        run,
        does="show what is in the store: by day, by status, how large, what expires next",
        example="session-store stats --store data/sessions.db --days 30",
    )
    parser.description = (
        "Show what is in the store: by day, by status, how large, what expires next. Days are UTC. "
        "The entries of a day are those of the sessions that began on it; where these are more "
        "than 500, they are estimated from its last 500. No history is read."
    )
    parser.add_argument(
        "--days",
        type=number_from(1, MOST_DAYS),
        default=DAYS,
        metavar="N",
        help="of how many days; default: %(default)s",
    )
    add_store_option(parser)
    add_json_option(parser)
