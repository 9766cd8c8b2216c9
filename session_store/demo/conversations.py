"""The real conversations that come with the package; see ``demo_data/README.md``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from itertools import islice
from typing import Any, NamedTuple


class Turn(NamedTuple):
    """One utterance; ``entry_id`` is the same whenever and by whomever it is written."""

    entry_id: str
    role: str
    text: str
    timestamp: str

    @property
    def payload(self) -> dict[str, str]:
        return {"role": self.role, "text": self.text, "timestamp": self.timestamp}


class Conversation(NamedTuple):
    """Two people on one question. The one who began is the session's user."""

    session_id: str
    user_id: str
    title: str
    turns: tuple[Turn, ...]


def load(count: int) -> list[Conversation]:
    """The first ``count`` conversations."""
    source = files("session_store").joinpath("demo_data", "chitchat.jsonl")
    with source.open(encoding="utf-8") as lines:
        return [_conversation(json.loads(line)) for line in islice(lines, count)]


def _conversation(item: Mapping[str, Any]) -> Conversation:
    user = item["participants"][0]
    turns = tuple(
        Turn(
            entry_id=f"{item['id']}-{number}",
            role="user" if message["sender"] == user else "assistant",
            text=message["text"],
            timestamp=message["timestamp"],
        )
        for number, message in enumerate(item["messages"], 1)
    )
    return Conversation(item["id"], user, item["prompt"], turns)
