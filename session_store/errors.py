"""Every error that this package raises on purpose: one small tree; each message says what to do.

Messages and attributes hold identities, versions and places, never the content of a conversation,
a password or a statement's parameters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from session_store.session import SessionKey, Status


class SessionStoreError(Exception):
    """The root: catch this to catch everything from the session store."""

    def __reduce__(self) -> tuple[Any, ...]:
        """As itself into other processes, though a constructor takes more than the message."""
        return _restored, (type(self), self.args, vars(self))


def _restored(
    kind: type[SessionStoreError], args: tuple[Any, ...], attributes: dict[str, Any]
) -> SessionStoreError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(attributes)
    return error


class SessionNotFoundError(SessionStoreError, LookupError):
    """No live session has this key: it never existed, was deleted, or has expired."""

    def __init__(self, key: SessionKey) -> None:
        super().__init__(f"no live session {key}; create it with create_session()")
        self.key = key


class AmbiguousSessionError(SessionStoreError, LookupError):
    """Several users of the application hold a session of this id."""

    def __init__(self, app_name: str, session_id: str) -> None:
        super().__init__(
            f"session id {session_id!r} belongs to several users of {app_name!r}; pass user_id= too"
        )
        self.app_name, self.session_id = app_name, session_id


class CheckpointNotFoundError(SessionStoreError, LookupError):
    """The session has no checkpoint of this id."""

    def __init__(self, key: SessionKey, checkpoint_id: str) -> None:
        super().__init__(
            f"session {key} has no checkpoint {checkpoint_id!r}; "
            "get_session(..., kind='checkpoint') shows those it has"
        )
        self.key, self.checkpoint_id = key, checkpoint_id


class SessionExistsError(SessionStoreError):
    """A live session of this key exists already; nothing was written."""

    def __init__(self, key: SessionKey) -> None:
        super().__init__(f"session {key} exists already; load it, or choose another session_id")
        self.key = key


class StaleSessionError(SessionStoreError):
    """The session is not at the version that the caller expected; nothing was written."""

    def __init__(self, key: SessionKey, expected: int, actual: int) -> None:
        super().__init__(
            f"session {key} is at version {actual}, not {expected}; load it again and repeat the "
            "change, or leave expected_version out to merge"
        )
        self.key, self.expected, self.actual = key, expected, actual


class ConflictError(SessionStoreError):
    """An entry of this id is stored already with another kind or payload; nothing was written."""

    def __init__(self, key: SessionKey, entry_id: str) -> None:
        super().__init__(
            f"session {key} already holds another entry {entry_id!r}; "
            "use a new entry_id for new content"
        )
        self.key, self.entry_id = key, entry_id


class IllegalTransitionError(SessionStoreError):
    """A session of this status can't take that status; nothing was written."""

    def __init__(self, key: SessionKey, current: Status, wanted: Status, legal: str) -> None:
        super().__init__(f"session {key} is {current} and can't become {wanted}, only: {legal}")
        self.key, self.current, self.wanted = key, current, wanted


class InvalidValueError(SessionStoreError, ValueError):
    """A value that no back end would keep as it is; refused before anything was written.

    ``path`` says where it stands, such as ``state.scores[2]``.
    """

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path, self.problem = path, problem

    def within(self, path: str) -> InvalidValueError:
        """The same of a value that is a part of the one at ``path``."""
        return type(self)(f"{path}.{self.path}", self.problem)


class TooLargeError(InvalidValueError):
    """A value, or a call, beyond a limit of size; refused before anything was written."""


class SettingsError(SessionStoreError, ValueError):
    """A setting, URL or path that can't be used; the message lists what can."""


class ModelWriteError(SessionStoreError):
    """A write through ``session_store.models`` that would break what the store keeps; refused by
    the flush, or the statement. The message names the call to use."""


class StoreUnavailableError(SessionStoreError):
    """The store can't be reached or written now (permissions, full disk, locked, closed)."""


class NotWritableError(StoreUnavailableError):
    """Permissions, a file system mounted read-only, or a standby forbid writing."""


class DiskFullError(StoreUnavailableError):
    """There is no space left, or no quota, for a write."""


class StoreUnreachableError(StoreUnavailableError):
    """The database server gives no answer, or lets nobody in."""


class StoreClosedError(StoreUnavailableError):
    """The repository or its service was closed by this process."""


class DurabilityUnknownError(StoreUnavailableError):
    """The write is visible, but the disk did not confirm it: it may not survive a power cut."""


class OutcomeUnknownError(StoreUnavailableError):
    """The connection was lost, or the disk failed, while a write was committed, and nobody could be
    asked since: the write is there whole, or not at all."""


class CorruptStoreError(SessionStoreError):
    """What is stored is damaged, foreign or edited; it was left as it is, nothing was returned."""


class TransferError(SessionStoreError):
    """Sessions can't be moved as asked; the message says what is in the way, and of which."""


class ExportFormatError(TransferError):
    """No export that is whole and unchanged; nothing of it was written.

    ``line`` is where it was seen, or 0.
    """

    def __init__(self, place: str, line: int, problem: str) -> None:
        where = f"{place}, line {line}" if line else place
        super().__init__(f"{where}: {problem}")
        self.line = line


class SchemaError(SessionStoreError):
    """The database's schema is not this release's; the message names the command to run."""
