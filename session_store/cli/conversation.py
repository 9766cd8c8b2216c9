"""A session printed as a conversation that people can read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from session_store.cli.output import STATUS_STYLES
from session_store.presentation.conversation import facts, said
from session_store.presentation.counting import counted
from session_store.presentation.escaping import json_text, line

if TYPE_CHECKING:
    from session_store.cli.output import Output
    from session_store.session import Entry, Session, SessionHead

INDENT: Final = "    "


def print_session(output: Output, session: Session, *, documents: bool = False) -> None:
    """The head, then the entries."""
    _print_head(output, session)
    if documents:
        for name in ("state", "agent_states"):
            output.line((f"{name}:", "dim"))
            output.text(json_text(getattr(session, name), indent=2), indent="  ")
    for entry in session.entries:
        print_entry(output, entry)


def print_entry(output: Output, entry: Entry, *, gap: bool = True) -> None:
    """Its number, kind and time in one line, and under it what it says."""
    if gap:
        output.line()
    time = f"{entry.created_at:%Y-%m-%d %H:%M:%S}"
    output.line((f"#{entry.seq}", "bold"), (f" {entry.kind} {time}", "dim"))
    speaker, words = said(entry)
    opening = f"{line(speaker)}:" if speaker else ""
    output.text(f"{opening} {words}".lstrip(), indent=INDENT, opening=len(opening))


def _print_head(output: Output, head: SessionHead) -> None:
    status = head.status.value
    output.line((head.session_id, "bold"), f" of {head.user_id} in {head.app_name}")
    output.line(
        (status, STATUS_STYLES[status]),
        f", {counted(head.last_seq, 'entry', 'entries')}, version {head.version}",
    )
    for name, value in facts(head):
        output.line((f"{name}: ", "dim"), value)
