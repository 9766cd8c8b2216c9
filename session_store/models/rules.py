"""What a flush keeps of the rules that the service keeps, by SQLAlchemy's events of its mappers.

Values are checked by the codec and statuses follow each other as ``core.decisions`` says; what the
store makes, an id or a version, is made here or by the mapper and set by nobody else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeAlias

from sqlalchemy import inspect
from sqlalchemy.orm import InstanceState, object_session

from session_store.core import codec
from session_store.core.decisions import completed_at, next_status
from session_store.core.ids import new_id
from session_store.core.operations import checked_status
from session_store.errors import ModelWriteError
from session_store.session import DEFAULT_APP_NAME, SessionKey, Status

if TYPE_CHECKING:
    from session_store.models import EntryRow, SessionRow, SharedRow

Rule: TypeAlias = Callable[[Any, Any, Any], None]

_KEPT: Final = "is made by the store: leave it as it is"
_IDENTITY: Final = "never changes: delete_session() and create_session(), or fork_session()"
_MADE: Final = "session_store"
"""Where a row's ``InstanceState.info`` says what a flush made of it."""

_CONTENT: Final = ("state", "agent_states", "labels", "expires_at")

_SESSION_START: Final[Mapping[str, Any]] = {
    "id": None,
    "version": 1,
    "last_seq": 0,
    "created_at": None,
    "updated_at": None,
    "completed_at": None,
}
_SESSION_FIXED: Final = dict.fromkeys(("app_name", "user_id", "session_id"), _IDENTITY) | (
    dict.fromkeys(_SESSION_START, _KEPT)
    | {"completed_at": "is made by the store: set the status instead"}
)
_SHARED_FIXED: Final = {
    "app_name": "never changes: delete the row, and add another one",
    "user_id": "never changes: delete the row, and add another one",
    "updated_at": _KEPT,
}


def insert_session(_mapper: Any, _connection: Any, row: SessionRow) -> None:
    _refuse_given(row, _SESSION_START)
    if "id" in _state(row).dict:
        row.id = None  # type: ignore[assignment] # one of a rollback
    now = datetime.now(UTC)
    row.app_name = codec.identifier(_or(row.app_name, DEFAULT_APP_NAME), "app_name")
    row.user_id = codec.identifier(row.user_id, "user_id")
    row.session_id = codec.identifier(_or(row.session_id, new_id()), "session_id")
    row.status = checked_status(_or(row.status, Status.CREATED))
    row.state, row.agent_states = _or(row.state, {}), _or(row.agent_states, {})
    row.labels = _or(row.labels, {})
    _check_content(row, _CONTENT)
    row.last_seq, row.created_at, row.updated_at = 0, now, now
    row.completed_at = now if row.status is Status.COMPLETED else None
    _remember(row, _SESSION_START)


def update_session(_mapper: Any, _connection: Any, row: SessionRow) -> None:
    changed = _changes(row)
    if not changed:
        return
    _refuse_changed(row, changed, _SESSION_FIXED)
    _refuse_unread(row, "version")
    _check_content(row, changed)
    now, before = datetime.now(UTC), changed.get("status", row.status)
    key = SessionKey(row.app_name, row.user_id, row.session_id)
    wanted = checked_status(row.status) if "status" in changed else None
    is_activity = not changed.keys().isdisjoint(("state", "agent_states"))
    row.status = next_status(key, before, wanted, is_activity)
    row.completed_at = completed_at(row.completed_at, before, row.status, now)
    row.updated_at = max(now, row.updated_at)


def refuse_entry(_mapper: Any, _connection: Any, row: EntryRow) -> None:
    if _is_unchanged(row):
        return
    refuse_entries()


def refuse_entries(*_: Any, **__: Any) -> NoReturn:
    raise ModelWriteError(
        "entries are for reading: service.append(session_id, ...) appends them and numbers them, "
        "restore_checkpoint(..., rewind=True) removes those after a checkpoint, and "
        "delete_session() removes them with their session"
    )


def init_shared(_row: SharedRow, _arguments: Any, given: dict[str, Any]) -> None:
    """Its key is whole from the start: ``merge()`` and a flush look for a row that has it."""
    given.setdefault("app_name", DEFAULT_APP_NAME)
    given.setdefault("user_id", "")


def insert_shared(_mapper: Any, _connection: Any, row: SharedRow) -> None:
    _refuse_given(row, {"updated_at": None})
    row.updated_at = datetime.now(UTC)
    row.app_name = codec.identifier(row.app_name, "app_name")
    if row.user_id != "":
        row.user_id = codec.identifier(row.user_id, "user_id")
    row.document = _or(row.document, {})
    codec.encode_document(row.document, "document")
    _remember(row, ("updated_at",))


def update_shared(_mapper: Any, _connection: Any, row: SharedRow) -> None:
    changed = _changes(row)
    if changed:
        _refuse_changed(row, changed, _SHARED_FIXED)
        _refuse_unread(row, "updated_at")
        codec.encode_document(row.document, "document")


def remember_session(_mapper: Any, _connection: Any, row: SessionRow) -> None:
    _remember(row, _SESSION_START)


def remember_shared(_mapper: Any, _connection: Any, row: SharedRow) -> None:
    _remember(row, ("updated_at",))


def _check_content(row: SessionRow, names: Iterable[str]) -> None:
    """Of what a user sets, these: what was not read would be read for it."""
    for name in names:
        if name == "agent_states":
            codec.encode_agents(row.agent_states, name)
        elif name in ("state", "labels"):
            codec.encode_document(getattr(row, name), name)
        elif name == "expires_at" and row.expires_at is not None:
            row.expires_at = codec.utc(row.expires_at, name)


def _refuse_given(row: object, start: Mapping[str, Any]) -> None:
    """A new row with what only the store makes; what it made before a rollback is made again."""
    made = _state(row).info.get(_MADE, {})
    for name, first in start.items():
        if getattr(row, name) not in (None, first, made.get(name)):
            raise ModelWriteError(f"{name} is made by the store: leave it out of a new row")


def _remember(row: object, names: Iterable[str]) -> None:
    """What the store made of a row, which may be added again after a rollback."""
    state = _state(row)
    state.info[_MADE] = {name: state.dict.get(name) for name in names}


def _refuse_changed(row: object, changed: Iterable[str], fixed: Mapping[str, str]) -> None:
    for name in changed:
        if name in fixed:
            raise ModelWriteError(f"{row}: {name} {fixed[name]}")


def _refuse_unread(row: object, name: str) -> None:
    """It would be read now, and what somebody wrote since the rest was read would be lost."""
    if name not in _state(row).dict:
        raise ModelWriteError(
            f"{row} was read without its {name}, so that nobody knows what it was changed from: "
            f"let load_only() and defer() read {name} of rows to be changed"
        )


def _changes(row: object) -> dict[str, Any]:
    """The attributes that changed, with what they were before; in place, with what they are."""
    state = _state(row)
    attributes, columns = state.attrs, state.mapper.column_attrs
    histories = {column.key: attributes[column.key].history for column in columns}
    return {
        name: (history.deleted or history.added or [None])[0]
        for name, history in histories.items()
        if history.has_changes()
    }


def _is_unchanged(row: object) -> bool:
    """Whether a stored one only came along in the flush."""
    session = object_session(row)
    state = _state(row)
    return (
        state.persistent
        and session is not None
        and row not in session.deleted
        and not session.is_modified(row, include_collections=False)
    )


def _state(row: object) -> InstanceState[Any]:
    state: InstanceState[Any] = inspect(row, raiseerr=True)
    return state


def _or(value: Any, otherwise: Any) -> Any:
    return otherwise if value is None else value


SESSION: Final[Mapping[str, Rule]] = {
    "before_insert": insert_session,
    "before_update": update_session,
    "after_insert": remember_session,
    "after_update": remember_session,
}
ENTRY: Final[Mapping[str, Rule]] = dict.fromkeys(
    ("before_insert", "before_update", "before_delete"), refuse_entry
)
SHARED: Final[Mapping[str, Rule]] = {
    "init": init_shared,
    "before_insert": insert_shared,
    "before_update": update_shared,
    "after_insert": remember_shared,
    "after_update": remember_shared,
}
