"""``session-store show`` and ``tail``: one session, as it is and as it goes on."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from session_store.cli.commands import OK, add_command
from session_store.cli.conditions import add_session, number_from, seconds
from session_store.cli.conversation import print_entry, print_session
from session_store.cli.output import Output, add_json_option, say
from session_store.cli.store import add_expired_option, add_store_option, opened, settings_of
from session_store.errors import SessionNotFoundError

if TYPE_CHECKING:
    from session_store.cli.commands import Commands
    from session_store.service import SessionService
    from session_store.session import Entry, Session

RECENT: Final = 10
INTERVAL: Final = 1.0


def show(arguments: argparse.Namespace) -> int:
    output, session = Output(), _found(arguments)
    if arguments.json:
        output.json(session.model_dump())
    else:
        print_session(output, session, documents=arguments.documents)
    return OK


def _found(arguments: argparse.Namespace) -> Session:
    """In the store, or else in the archive."""
    try:
        return _loaded(arguments)
    except SessionNotFoundError:
        if arguments.archived or settings_of(arguments.store).archive_path is None:
            raise
    arguments.archived = True
    session = _loaded(arguments)
    say(f"from the archive; session-store restore {arguments.id} brings it back")
    return session


def _loaded(arguments: argparse.Namespace) -> Session:
    with opened(arguments) as service:
        return service.get_session(
            arguments.id,
            user_id=arguments.user,
            app_name=arguments.app,
            last=arguments.last,
            after=arguments.after,
            kind=arguments.kind,
        )


def tail(arguments: argparse.Namespace) -> int:
    with opened(arguments) as service:
        session = service.get_session(
            arguments.id, user_id=arguments.user, app_name=arguments.app, last=arguments.last
        )
        following = Following(service, session, Output(), as_json=arguments.json)
        try:
            while True:
                time.sleep(arguments.interval)
                following.look()
        except SessionNotFoundError:
            say(f"session {arguments.id} is gone: it was deleted, or has expired")
    return OK


class Following:
    """Prints what is new in a session, whoever writes it. Looking for the entries after a number
    costs the same in a long history as in a short one."""

    def __init__(
        self, service: SessionService, session: Session, output: Output, *, as_json: bool
    ) -> None:
        self._service, self._output, self._as_json = service, output, as_json
        self._session, self._is_first = session, True
        self._last: Entry | None = None
        self._print(session.entries)

    def look(self) -> None:
        """Print what came since; ``SessionNotFoundError`` when the session is gone."""
        before, last = self._session, self._last
        found = self._load(after=before.last_seq - 1 if last else before.last_seq)
        if found.created_at != before.created_at:
            raise SessionNotFoundError(found.key)
        if found.status != before.status:
            say(f"now {found.status}")
        if found.last_seq < before.last_seq or (last and last not in found.entries):
            say("the history was taken back to a checkpoint; it ends so:")
            found, self._last = self._load(last=RECENT), None
        self._session = found
        self._print([entry for entry in found.entries if entry != self._last])

    def _load(self, **window: Any) -> Session:
        app_name, user_id, session_id = self._session.key
        return self._service.get_session(session_id, user_id=user_id, app_name=app_name, **window)

    def _print(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            if self._as_json:
                self._output.json(entry.model_dump())
            else:
                print_entry(self._output, entry, gap=not self._is_first)
            self._last, self._is_first = entry, False
        self._output.flush()


def add_to(commands: Commands) -> None:
    _add_show(commands)
    _add_tail(commands)


def _add_show(commands: Commands) -> None:
    parser = add_command(
        commands,
        "show",
        show,
        does="show a session as a conversation",
        example="session-store show interview-1 --last 20",
    )
    add_session(parser)
    parser.add_argument(
        "--last", type=number_from(0), metavar="N", help="of the history only the last N entries"
    )
    parser.add_argument(
        "--after", type=number_from(0), metavar="SEQ", help="only the entries after this number"
    )
    parser.add_argument("--kind", help="only the entries of this kind: message, event, checkpoint…")
    parser.add_argument(
        "--documents", action="store_true", help="also state and agent_states, as JSON"
    )
    add_expired_option(parser)
    add_store_option(parser)
    add_json_option(parser)


def _add_tail(commands: Commands) -> None:
    parser = add_command(
        commands,
        "tail",
        tail,
        does="follow a session: its last entries, then new ones as they come",
        example="session-store tail interview-1 --last 3",
    )
    parser.description = (
        "Follow a session: its last entries, then new ones as they come, from whatever process. "
        "Ends with Ctrl-C, or when the session is gone."
    )
    add_session(parser)
    parser.add_argument(
        "--last",
        type=number_from(0),
        default=RECENT,
        metavar="N",
        help="begin with the last N entries; default: %(default)s",
    )
    parser.add_argument(
        "--interval",
        type=seconds,
        default=INTERVAL,
        metavar="SECONDS",
        help="how often to look; default: %(default)g",
    )
    add_store_option(parser)
    add_json_option(parser)
