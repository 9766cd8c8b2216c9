"""A session as a conversation that people can read: who said what, and what else happened."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from session_store.presentation.escaping import json_text
from session_store.presentation.times import minute

if TYPE_CHECKING:
    from session_store.session import Entry, SessionHead

SPEAKERS: Final = ("role", "sender", "author", "name", "speaker", "from", "agent")
WORDS: Final = ("text", "content", "message", "body")
"""The names under which applications keep who speaks and what is said."""

SHORT: Final = 72
"""Characters of JSON that stand in one line."""


def said(entry: Entry) -> tuple[str, str]:
    """Who speaks in an entry, or ``""``, and what is said."""
    return _SAYINGS.get(entry.kind, speech)(entry.payload)


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


def facts(head: SessionHead) -> Iterator[tuple[str, str]]:
    """Its times and its labels, by their names."""
    for name in ("created", "updated", "completed", "expires"):
        time = getattr(head, f"{name}_at")
        if time is not None:
            yield name, f"{minute(time)} UTC"
    for name, value in head.metadata.items():
        yield name, value if isinstance(value, str) else json_text(value)
