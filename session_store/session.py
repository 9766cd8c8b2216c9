"""The values: what a session is, what changes it, what an answer looks like. No clock, no I/O.

What callers read (``SessionHead``, ``Session``, ``Entry``, ``Applied``) are frozen pydantic models.
What callers write (``NewEntry``, ``Changes``) are plain dataclasses: the codec checks their JSON,
the same way for every back end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, StrEnum
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from pydantic import BaseModel, ConfigDict

DEFAULT_APP_NAME: Final = "default"

ARTIFACT: Final = "artifact"
CHECKPOINT: Final = "checkpoint"
EVENT: Final = "event"
MESSAGE: Final = "message"


class Status(StrEnum):
    """Where a session stands. *Active* means ``running``."""

    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"


TRANSITIONS: Final[Mapping[Status, frozenset[Status]]] = {
    Status.CREATED: frozenset({Status.RUNNING, Status.PAUSED, Status.COMPLETED, Status.FAILED}),
    Status.RUNNING: frozenset({Status.PAUSED, Status.COMPLETED, Status.FAILED}),
    Status.PAUSED: frozenset({Status.RUNNING, Status.COMPLETED, Status.FAILED}),
    Status.FAILED: frozenset({Status.RUNNING}),
    Status.COMPLETED: frozenset(),
}
"""Which status may follow which. Restoring a checkpoint sets its status whatever stands here."""


class Removed(Enum):
    """The type of ``REMOVED``."""

    REMOVED = "REMOVED"


REMOVED: Final = Removed.REMOVED
"""Given as a value in a change, it removes the key: ``update_state(id, {"draft": REMOVED})``."""

Patch: TypeAlias = Mapping[str, Any | Literal[Removed.REMOVED]]
"""Top-level keys of a JSON document with their new values; the other keys stay as they are."""


class SessionKey(NamedTuple):
    """The identity of a session. Two users may hold the same ``session_id``."""

    app_name: str
    user_id: str
    session_id: str

    def __str__(self) -> str:
        return "/".join(map(repr, self))


class Value(BaseModel):
    """A frozen value; equal when its fields are equal."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class Documents(Value):
    """The three JSON documents of a session.

    ``state``: working memory of the application. ``agent_states``: one document an agent, by the
    agent's name. ``metadata``: labels such as title, source, tags.
    """

    state: dict[str, Any] = {}
    agent_states: dict[str, dict[str, Any]] = {}
    metadata: dict[str, Any] = {}


class Entry(Value):
    """One item of a session's history.

    ``seq`` counts 1, 2, 3… without gaps inside the session; ``entry_id`` is unique in it and the
    key of idempotence; ``version`` is the session's version that the entry came with.
    """

    seq: int
    entry_id: str
    kind: str
    payload: Any
    created_at: datetime
    version: int


class SessionHead(Documents):
    """A session without its history: what lists return. Times are aware UTC.

    ``version`` grows by 1 with every write; ``last_seq`` is the ``seq`` of the newest entry, 0
    when there is none; ``expires_at`` is the session's own end, if it has one.
    """

    app_name: str
    user_id: str
    session_id: str
    status: Status
    version: int
    last_seq: int
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None = None
    expires_at: datetime | None = None

    @property
    def key(self) -> SessionKey:
        return SessionKey(self.app_name, self.user_id, self.session_id)


class Session(SessionHead):
    """A session with its history, or the part of it that was asked for, in the order of ``seq``."""

    entries: tuple[Entry, ...] = ()

    @property
    def messages(self) -> tuple[Entry, ...]:
        return self.entries_of(MESSAGE)

    @property
    def artifacts(self) -> tuple[Entry, ...]:
        return self.entries_of(ARTIFACT)

    @property
    def checkpoints(self) -> tuple[Entry, ...]:
        return self.entries_of(CHECKPOINT)

    def entries_of(self, kind: str) -> tuple[Entry, ...]:
        return tuple(entry for entry in self.entries if entry.kind == kind)


class Applied(Value):
    """The answer to a write: where the session stands after it, and the entries that it appended.

    A write repeated under the same entry ids is answered with the version and entries of the first.
    """

    key: SessionKey
    status: Status
    version: int
    updated_at: datetime
    entries: tuple[Entry, ...] = ()

    @property
    def entry(self) -> Entry:
        """The first appended entry: the checkpoint of a pause, the artifact of ``add_artifact``."""
        return self.entries[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEntry:
    """An entry to append. Without an ``entry_id`` the service makes one."""

    payload: Any
    kind: str = MESSAGE
    entry_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCheckpoint:
    """A checkpoint to take of the session as the change leaves it, labelled for people."""

    checkpoint_id: str
    label: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """One change of an existing session; what is not given stays as it is.

    In this order: ``restore`` replaces status and documents and ``rewind_to`` drops the history
    after that ``seq``; the patches set top-level keys of ``state``, ``metadata``, of each named
    agent's document, and of the documents shared by the application (``app_state``) and by this
    user's sessions in it (``user_state``); ``status`` is set; ``entries`` are appended;
    ``checkpoint`` records the outcome. With none of these the session is only touched.
    """

    state: Patch = field(default_factory=dict)
    agent_states: Mapping[str, Patch] = field(default_factory=dict)
    metadata: Patch = field(default_factory=dict)
    app_state: Patch = field(default_factory=dict)
    user_state: Patch = field(default_factory=dict)
    status: Status | None = None
    expires_at: datetime | Literal[Removed.REMOVED] | None = None
    entries: tuple[NewEntry, ...] = ()
    checkpoint: NewCheckpoint | None = None
    restore: Restored | None = None
    rewind_to: int | None = None

    @property
    def is_activity(self) -> bool:
        """Whether a ``created`` session becomes ``running`` by this."""
        return bool(self.entries or self.state or self.agent_states)


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """Status and documents that a checkpoint brings back."""

    status: Status
    documents: Documents
