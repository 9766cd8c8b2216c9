"""Which sessions a command is about: options that become the conditions of ``list_sessions``."""

from __future__ import annotations

import argparse
import json
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from session_store.service.keywords import Conditions

STATUSES: Final = ("created", "running", "paused", "completed", "failed")
"""Those of ``session.Status``, which ``--help`` does without; a test compares them."""

MAX_SECONDS: Final = 86_400

_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_AGO: Final = re.compile(rf"(\d{{1,6}})([{''.join(_UNITS)}])")

TIMES: Final = {
    "--created-after": "created then or later: 2026-11-25, 2026-11-25T14:00Z, or 7d, 12h, 90m ago",
    "--created-before": "created before then",
    "--updated-after": "last written then or later",
    "--updated-before": "last written before then",
}


def add_conditions(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--user", metavar="ID", help="of this user")
    parser.add_argument("--app", metavar="NAME", help="of this application; default: of all")
    parser.add_argument(
        "--status",
        action="append",
        choices=STATUSES,
        help="of this status; may be given several times",
    )
    for option, means in TIMES.items():
        parser.add_argument(option, type=time_of, metavar="TIME", help=means)
    parser.add_argument(
        "--metadata",
        action="append",
        type=label_of,
        metavar="KEY=VALUE",
        help="whose metadata has this value: text, or JSON as in priority=2 and key='\"2\"'; may "
        "be given several times",
    )


def conditions_of(arguments: argparse.Namespace) -> Conditions:
    return {
        "user_id": arguments.user,
        "app_name": arguments.app,
        "status": arguments.status,
        "created_after": arguments.created_after,
        "created_before": arguments.created_before,
        "updated_after": arguments.updated_after,
        "updated_before": arguments.updated_before,
        "metadata": dict(arguments.metadata or ()),
    }


def time_of(text: str) -> datetime:
    """The time of an option: ISO 8601, or an age: 90m, 12h, 7d, 2w."""
    try:
        if age := _AGO.fullmatch(text):
            return datetime.now(UTC) - timedelta(**{_UNITS[age[2]]: int(age[1])})
        time = datetime.fromisoformat(text)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        problem = "is no time: use 2026-11-25, 2026-11-25T14:00Z, or an age: 90m, 12h, 7d, 2w"
        raise argparse.ArgumentTypeError(f"{text!r} {problem}") from None


def label_of(text: str) -> tuple[str, Any]:
    """A key and its value; what is no JSON is text."""
    key, separator, value = text.partition("=")
    if not (separator and key):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form KEY=VALUE")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value


def add_session(parser: argparse.ArgumentParser, *, several: bool = False) -> None:
    """Which session, or which sessions, by id."""
    nargs: Any = {"nargs": "+"} if several else {}
    parser.add_argument("id", metavar="ID", help="the session's id", **nargs)
    parser.add_argument("--user", metavar="ID", help="whose, where several users hold that id")
    parser.add_argument(
        "--app", metavar="NAME", default="default", help="of this application; default: %(default)s"
    )


def number_from(least: int, most: int = 2**63 - 1) -> Any:
    """The type of an option that is a whole number."""
    end = "" if most >= 2**63 - 1 else f" to {most}"

    def number(text: str) -> int:
        if text.isdecimal() and least <= int(text) <= most:
            return int(text)
        raise argparse.ArgumentTypeError(f"must be a whole number from {least}{end}, not {text!r}")

    return number


def seconds(text: str) -> float:
    """The type of an option that is a duration."""
    number = _float(text)
    if number is None or not 0 < number <= MAX_SECONDS:
        raise argparse.ArgumentTypeError(f"must be a number of seconds above 0, not {text!r}")
    return number


def hours(text: str) -> float:
    """The type of an option that is an age."""
    number = _float(text)
    if number is None or not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number of hours, 0 or more, not {text!r}")
    return number


def _float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
