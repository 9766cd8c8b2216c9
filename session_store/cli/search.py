"""``session-store search``: sessions by conditions, and by what was said in them."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from session_store.cli import listing
from session_store.cli.commands import OK, add_command
from session_store.cli.conditions import add_conditions, conditions_of, number_from
from session_store.cli.output import STATUS_STYLES, Output, add_json_option, say
from session_store.cli.progress import Advance, progress
from session_store.cli.store import add_expired_option, add_store_option, opened
from session_store.errors import SessionNotFoundError
from session_store.presentation.counting import counted
from session_store.presentation.times import minute

if TYPE_CHECKING:
    from session_store.cli.commands import Commands
    from session_store.service import SessionService
    from session_store.service.keywords import Conditions
    from session_store.session import Entry, SessionHead

FIELDS: Final = "session_id, user_id, app_name, seq, kind, text"
DOCUMENTS: Final = ("metadata", "state", "agent_states")
SHOWN: Final = 5
"""Lines of a session, for people; programs get all."""

INDENT: Final = "    "
FOUND_STYLE: Final = "bold red"


class Match(NamedTuple):
    """A line of text in which the words stand, from ``start`` to ``end``; without ``seq`` it is of
    the document whose name is the ``kind``."""

    seq: int | None
    kind: str
    text: str
    start: int
    end: int


class Found(NamedTuple):
    head: SessionHead
    matches: list[Match]


def run(arguments: argparse.Namespace) -> int:
    output, conditions = Output(), conditions_of(arguments)
    with opened(arguments) as service:
        if arguments.text is None:
            heads = listing.all_heads(service, conditions)
            listing.show(output, islice(heads, arguments.limit), as_json=arguments.json)
        else:
            _search(output, service, conditions, arguments)
    return OK


def _search(
    output: Output, service: SessionService, conditions: Conditions, arguments: argparse.Namespace
) -> None:
    words = re.compile(re.escape(arguments.text), re.IGNORECASE)
    total, number = service.get_session_count(**conditions), 0
    with progress("searching", total) as advance:
        heads = _each(listing.all_heads(service, conditions), advance)
        for found in islice(_found(service, heads, words), arguments.limit):
            _show(output, found, as_json=arguments.json)
            number += 1
    if output.is_terminal and number == arguments.limit:
        say(f"found in {counted(number, 'session')}, and no further looked for")
    elif output.is_terminal:
        say(f"found in {counted(number, 'session')} of {total:,}")


def matches(head: SessionHead, entries: Any, words: re.Pattern[str]) -> Iterator[Match]:
    """Where the words stand in the documents and in the entries of a session."""
    for name in DOCUMENTS:
        yield from _in(None, name, getattr(head, name), words)
    for entry in entries:
        yield from _in(entry.seq, entry.kind, entry.payload, words)


def texts(value: Any) -> Iterator[str]:
    """All in a JSON value, but the names of its keys."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, dict)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from texts(part)


def _in(seq: int | None, kind: str, value: Any, words: re.Pattern[str]) -> Iterator[Match]:
    for text in texts(value):
        if words.search(text):  # most have no match, and are not split into lines
            for line in text.splitlines():
                if found := words.search(line):
                    yield Match(seq, kind, line, *found.span())


def _each(heads: Iterator[SessionHead], advance: Advance) -> Iterator[SessionHead]:
    for head in heads:
        yield head
        advance()


def _found(
    service: SessionService, heads: Iterator[SessionHead], words: re.Pattern[str]
) -> Iterator[Found]:
    for head in heads:
        found = list(matches(head, _entries(service, head), words))
        if found:
            yield Found(head, found)


def _entries(service: SessionService, head: SessionHead) -> tuple[Entry, ...]:
    """None of a session that went while others were read."""
    if not head.last_seq:
        return ()
    app_name, user_id, session_id = head.key
    try:
        return service.get_session(session_id, user_id=user_id, app_name=app_name).entries
    except SessionNotFoundError:
        return ()


def _show(output: Output, found: Found, *, as_json: bool) -> None:
    if as_json:
        matches = [
            {"seq": seq, "kind": kind, "text": text} for seq, kind, text, *_ in found.matches
        ]
        output.json(found.head.model_dump() | {"matches": matches})
    elif output.is_terminal:
        _show_to_person(output, found)
    else:
        head = found.head
        for match in found.matches:
            seq = "-" if match.seq is None else match.seq
            output.fields(head.session_id, head.user_id, head.app_name, seq, match.kind, match.text)


def _show_to_person(output: Output, found: Found) -> None:
    head, rest = found.head, len(found.matches) - SHOWN
    output.line(
        (head.session_id, "bold"),
        f" of {head.user_id} in {head.app_name}, ",
        (head.status.value, STATUS_STYLES[head.status.value]),
        f", {minute(head.updated_at)}",
    )
    for match in found.matches[:SHOWN]:
        where = match.kind if match.seq is None else f"#{match.seq} {match.kind}"
        before, words, after = excerpt(match, output.width - len(INDENT) - len(where) - 1)
        output.line(INDENT, (f"{where} ", "dim"), before, (words, FOUND_STYLE), after)
    if rest > 0:
        output.line((f"{INDENT}and {counted(rest, 'more line')}", "dim"))


def excerpt(match: Match, width: int) -> tuple[str, str, str]:
    """The words and what stands around them, in ``width`` characters if the words leave room."""
    text, start, end = match.text, match.start, match.end
    room = max(0, width - (end - start))
    left = max(0, min(start - room // 2, len(text) - width))
    right = left + max(width, end - start)
    before = text[left:start] if left == 0 else f"…{text[left + 1 : start]}"
    after = text[end:] if right >= len(text) else f"{text[end : max(end, right - 1)]}…"
    return before, text[start:end], after


def add_to(commands: Commands) -> None:
    parser = add_command(
        commands,
        "search",
        run,
        does="find sessions by conditions, and by what was said in them",
        example='session-store search --text "team of five" --user ada --updated-after 30d',
    )
    parser.description = (
        "Find sessions by conditions, in the order of their creation, and with --text by what was "
        "said in them: every session that meets the conditions is read. For programs, that is into "
        "a pipe or a file, --text prints a line of fields for each line in which the words stand: "
        f"{FIELDS}. Their seq is - in a document, whose name is the kind."
    )
    parser.add_argument(
        "--text",
        type=_words,
        metavar="WORDS",
        help="words that stand next to each other, in upper or lower case, in the texts of the "
        "entries' payloads, of state, agent_states or metadata",
    )
    add_conditions(parser)
    parser.add_argument(
        "--limit", type=number_from(1), metavar="N", help="end after N sessions; default: all"
    )
    add_expired_option(parser)
    add_store_option(parser)
    add_json_option(parser)


def _words(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("must have a word in it")
    return text
