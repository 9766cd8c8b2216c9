"""A session as a conversation that people can read: who said what, and what else happened."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from session_store.cli.commands import counted
from session_store.cli.output import STATUS_STYLES
from session_store.presentation.escaping import json_text, line
from session_store.presentation.times import minute

if TYPE_CHECKING:
    from session_store.cli.output import Output
    from session_store.session import Entry, Session, SessionHead

SPEAKERS: Final = ("role", "sender", "author", "name", "speaker", "from", "agent")
WORDS: Final = ("text", "content", "message", "body")
"""The names under which applications keep who speaks and what is said."""

INDENT: Final = "    "
SHORT: Final = 72


def show(output: Output, session: Session, *, documents: bool = False) -> None:
    """The head, then the entries."""
    _show_head(output, session)
    if documents:
        for name in ("state", "agent_states"):
            output.line((f"{name}:", "dim"))
            output.text(json_text(getattr(session, name), indent=2), indent="  ")
    for entry in session.entries:
        show_entry(output, entry)


def show_entry(output: Output, entry: Entry, *, gap: bool = True) -> None:
    """Its number, kind and time in one line, and under it what it says."""
    if gap:
        output.line()
    time = f"{entry.created_at:%Y-%m-%d %H:%M:%S}"
    output.line((f"#{entry.seq}", "bold"), (f" {entry.kind} {time}", "dim"))
    speaker, said = _SAYINGS.get(entry.kind, speech)(entry.payload)
    opening = f"{line(speaker)}:" if speaker else ""
    output.text(f"{opening} {said}".lstrip(), indent=INDENT, opening=len(opening))


def speech(payload: Any) -> tuple[str, str]:
    """Who speaks, or ``""``, and what is said; JSON when the payload is no speech."""
    if isinstance(payload, str):
        return "", payload
    if isinstance(payload, dict):
        words = next((_words(payload[name]) for name in WORDS if name in payload), None)
        if words is not None:
            return _speaker(payload), words
    return "", _json(payload)


def _artifact(payload: Any) -> tuple[str, str]:
    """As ``add_artifact`` makes them."""
    if isinstance(payload, dict) and payload.keys() == {"type", "payload"}:
        return str(payload["type"]), _json(payload["payload"])
    return speech(payload)


def _checkpoint(payload: Any) -> tuple[str, str]:
    """Without the documents, which would hide the conversation."""
    if not isinstance(payload, dict):
        return speech(payload)
    label, status = payload.get("label"), payload.get("status")
    return "", f"{label}: {status}" if label else f"{status}"


_SAYINGS: Final[Mapping[str, Callable[[Any], tuple[str, str]]]] = {
    "artifact": _artifact,
    "checkpoint": _checkpoint,
}
"""What is said by entries of other kinds than ``message``."""


def _json(value: Any) -> str:
    """In one line if that is a short one."""
    short = json_text(value)
    return short if len(short) <= SHORT else json_text(value, indent=2)


def _speaker(payload: dict[str, Any]) -> str:
    found = [payload[name] for name in SPEAKERS if isinstance(payload.get(name), str)]
    return found[0] if found else ""


def _words(value: Any) -> str | None:
    """A text, or those of a list of parts; ``None`` for anything else."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value:
        parts = [_words(part.get("text")) if isinstance(part, dict) else None for part in value]
        return None if None in parts else "\n".join(filter(None, parts))
    return None


def _show_head(output: Output, head: SessionHead) -> None:
    status = head.status.value
    output.line((head.session_id, "bold"), f" of {head.user_id} in {head.app_name}")
    output.line(
        (status, STATUS_STYLES[status]),
        f", {counted(head.last_seq, 'entry', 'entries')}, version {head.version}",
    )
    for name, value in _facts(head):
        output.line((f"{name}: ", "dim"), value)


def _facts(head: SessionHead) -> Iterator[tuple[str, str]]:
    for name in ("created", "updated", "completed", "expires"):
        time = getattr(head, f"{name}_at")
        if time is not None:
            yield name, f"{minute(time)} UTC"
    for name, value in head.metadata.items():
        yield name, value if isinstance(value, str) else json_text(value)
