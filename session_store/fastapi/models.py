"""What requests and responses look like, described for people who read the OpenAPI page.

Requests are checked here for their shape only: what JSON may hold and how large it may be is the
codec's, the same for every entry point.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from session_store.core.codec import MAX_ID_BYTES, MAX_KIND_BYTES
from session_store.fastapi.paths import reachable
from session_store.fastapi.problems import SessionProblem
from session_store.session import MESSAGE, Status

Id: TypeAlias = Annotated[str, Field(min_length=1, max_length=MAX_ID_BYTES)]
NewId: TypeAlias = Annotated[Id, AfterValidator(reachable)]
Document: TypeAlias = dict[str, Any]

TALK: Final[JsonDict] = {"title": "Mock interview"}
ANSWER: Final[JsonDict] = {"role": "user", "text": "I led a team of five."}
NOON: Final = "2026-03-01T12:00:00.000000Z"


class Request(BaseModel):
    """Unknown members are refused: a misspelt one would be lost in silence."""

    model_config = ConfigDict(extra="forbid")


class Write(Request):
    expected_version: int | None = Field(
        None,
        ge=0,
        lt=2**63,
        description="The version that the change builds on; 409 with both versions when the "
        "session has another. `If-Match` says the same, and answers with 412.",
    )


class NewSession(Request):
    """A session to create. Every member may be left out."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"metadata": TALK}]})

    session_id: NewId | None = Field(
        None, description="Its id, up to 255 bytes of UTF-8; one is made if none is given"
    )
    metadata: Document | None = Field(None, description="Labels: title, source, tags")
    state: Document | None = Field(None, description="Working memory of the application")
    expires_at: datetime | None = Field(None, description="Its own end, with a time zone")


class NewSessionOf(NewSession):
    """A session to create, of any user."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"user_id": "ada", "metadata": TALK}]}
    )

    user_id: Id = Field(description="Whose session it is", examples=["ada"])


class Removals(Request):
    """Top-level keys to remove."""

    state: list[str] = []
    metadata: list[str] = []
    agent_states: dict[str, list[str]] = Field({}, description="Keys by the name of an agent")


class SessionPatch(Write):
    """Top-level keys to set and to remove; the others stay. `{}` only marks the session as used."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"state": {"question": 2}, "remove": {"state": ["draft"]}}],
        }
    )

    state: Document = {}
    metadata: Document = {}
    agent_states: dict[str, Document] = Field({}, description="Keys by the name of an agent")
    remove: Removals = Removals()
    expires_at: datetime | Literal["never"] | None = Field(
        None, description="Gives or moves its own end; `never` takes it away"
    )


class NewEntry(Request):
    """An entry to append."""

    payload: Any = Field(description="Any JSON, up to 16 MiB", examples=[ANSWER])
    kind: str = Field(
        MESSAGE,
        min_length=1,
        max_length=MAX_KIND_BYTES,
        description="What it is: `message`, `event`, or a word of your own",
    )
    entry_id: Id | None = Field(
        None, description="Unique in its session; sent again under it, it is stored once"
    )


class NewEntries(Write):
    """Entries to append, all or none, in this order."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"entries": [{"payload": ANSWER}]}]})

    entries: list[NewEntry] = Field(min_length=1)


class NewArtifact(Write):
    """Something that the conversation produced."""

    type: str = Field(description="What it is", examples=["feedback"])
    payload: Any = Field(description="Any JSON", examples=[{"clarity": 4}])
    entry_id: Id | None = Field(None, description="As that of an entry")


class NewCheckpoint(Write):
    """A checkpoint to take: status and documents as they are now."""

    label: str | None = Field(None, description="For people", examples=["before lunch"])
    checkpoint_id: Id | None = Field(None, description="Its id; one is made if none is given")


class Failure(Write):
    reason: str | None = Field(None, description="Kept in the history", examples=["no answer"])


class Restore(Write):
    """Which checkpoint to go back to."""

    checkpoint_id: Id
    rewind: bool = Field(False, description="Remove the history after the checkpoint, too")


class Fork(Write):
    """What to copy into a new session."""

    checkpoint_id: Id | None = Field(None, description="Up to this checkpoint; or all of it")
    new_session_id: NewId | None = Field(None, description="The id of the copy")


class EntryView(BaseModel):
    """An item of a session's history."""

    seq: int = Field(description="1, 2, 3… without gaps in its session", examples=[1])
    entry_id: str = Field(description="Unique in its session", examples=["turn-7"])
    kind: str = Field(description="`message`, `event`, `artifact`, `checkpoint`…")
    payload: Any = Field(description="What was appended", examples=[ANSWER])
    created_at: datetime = Field(examples=[NOON])
    version: int = Field(description="The session's version that it came with")


class KeyView(BaseModel):
    app_name: str = Field(description="The application", examples=["default"])
    user_id: str = Field(description="Whose session it is", examples=["ada"])
    session_id: str = Field(examples=["0195a1b2-7c3d-7e4f-8a5b-6c7d8e9f0a1b"])
    status: Status = Field(description="`running` is what statistics call active")
    version: int = Field(description="Grows by 1 with every write; the `ETag`", examples=[3])
    updated_at: datetime = Field(examples=[NOON])


class HeadView(KeyView):
    """A session without its history."""

    state: Document = Field(description="Working memory of the application")
    agent_states: dict[str, Document] = Field(description="A document for each agent")
    metadata: Document = Field(description="Labels", examples=[TALK])
    last_seq: int = Field(description="The `seq` of the newest entry; 0: none", examples=[2])
    created_at: datetime = Field(examples=[NOON])
    completed_at: datetime | None
    expires_at: datetime | None = Field(description="Its own end, if it has one")


class SessionView(HeadView):
    """A session with its history, or the part of it that was asked for."""

    entries: list[EntryView] = Field(description="In the order of `seq`")


class PageView(BaseModel):
    """Sessions without their histories, newest first."""

    sessions: list[HeadView]
    cursor: str | None = Field(description="Given to the next request; `null` on the last page")


class WrittenView(KeyView):
    """Where the session stands after a write, and what was appended by it."""

    entries: list[EntryView]


class CleanupView(BaseModel):
    removed: int = Field(description="How many expired sessions were removed", examples=[3])


class StatsView(BaseModel):
    """How many sessions there are, and where they lie. The size has the name of its store."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "storage_type": "file",
                    "storage_path": "./data/sessions",
                    "total_sessions": 42,
                    "active_sessions": 5,
                    "expired_sessions": 0,
                    "expiration_hours": 168,
                    "expiration_policy": "idle",
                    "auto_save": True,
                    "unsaved_changes": 0,
                    "file_size_bytes": 123456,
                }
            ]
        }
    )

    storage_type: str = Field(description="`memory`, `file`, `sqlite`, `postgresql` or `custom`")
    storage_path: str | None = Field(description="Where they lie, without a password")
    total_sessions: int = Field(description="All that are stored, expired ones too")
    active_sessions: int = Field(description="Those that are running")
    expired_sessions: int = Field(description="Those that wait for the cleanup")
    expiration_hours: int | float | None
    expiration_policy: Literal["idle", "absolute"]
    auto_save: bool
    unsaved_changes: int
    file_size_bytes: int | None = Field(None, description="Of a JSON file")
    db_size_bytes: int | None = Field(None, description="Of a database")
    size_bytes: int | None = Field(None, description="Of a repository of your own")


class HealthView(BaseModel):
    """Whether a write would succeed now, and if not, why."""

    status: Literal["ok", "failing"]
    problems: list[SessionProblem] = Field(description="All that is wrong with the store")
