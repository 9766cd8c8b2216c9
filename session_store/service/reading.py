"""The reading half of the service: one session, lists, counts. It holds clock and expiry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypedDict, Unpack

from session_store.clock import Clock, utc_now
from session_store.core import codec
from session_store.core.expiration import (
    DEFAULT_EXPIRATION_HOURS,
    ExpirationPolicy,
    check_expiration,
    moment_at,
)
from session_store.core.queries import (
    MAX_PAGE,
    Filter,
    OrderBy,
    Page,
    Query,
    Scalar,
    Window,
    checked_filter,
)
from session_store.errors import AmbiguousSessionError, SessionNotFoundError
from session_store.repository import Moment, SessionRepository
from session_store.session import DEFAULT_APP_NAME, Session, SessionHead, SessionKey, Status


class Conditions(TypedDict, total=False):
    """Which sessions; the meaning of each is ``Query``'s."""

    app_name: str | None
    user_id: str | None
    status: Status | Sequence[Status] | None
    created_after: datetime | None
    created_before: datetime | None
    updated_after: datetime | None
    updated_before: datetime | None
    metadata: Mapping[str, Scalar]
    order_by: OrderBy


class SessionReader:
    """What can be asked of a repository now. Expired sessions are absent.

    ``expiration_hours``: sessions idle for longer (``idle``) or older than that (``absolute``) are
    expired; ``None`` keeps them until their own ``expires_at``.
    """

    def __init__(
        self,
        repository: SessionRepository,
        *,
        expiration_hours: float | None = DEFAULT_EXPIRATION_HOURS,
        expiration_policy: ExpirationPolicy = "idle",
        clock: Clock = utc_now,
    ) -> None:
        check_expiration(expiration_hours, expiration_policy)
        self.repository = repository
        self.expiration_hours = expiration_hours
        self.expiration_policy = expiration_policy
        self._clock = clock

    def get_session(
        self,
        session_id: str,
        *,
        user_id: str | None = None,
        app_name: str = DEFAULT_APP_NAME,
        last: int | None = None,
        after: int | None = None,
        kind: str | None = None,
    ) -> Session:
        """The session with its history: whole, or of it the entries after the ``seq`` ``after``,
        of one ``kind``, and of those the ``last`` n (0: none).

        ``SessionNotFoundError``; ``AmbiguousSessionError`` when only ``user_id`` can tell which.
        """
        key = self._key(session_id, user_id, app_name)
        return self.repository.load(key, self._moment(), Window(last, after, kind))

    def get_shared_state(
        self, *, user_id: str | None = None, app_name: str = DEFAULT_APP_NAME
    ) -> dict[str, Any]:
        """The document shared by all sessions of the app, or by those of one user in it."""
        return self.repository.load_shared(app_name, user_id)

    def list_sessions(
        self, *, limit: int = 50, cursor: str | None = None, **conditions: Unpack[Conditions]
    ) -> Page:
        """One page of heads, newest first; pass ``page.cursor`` on for the next page.

        Conditions: ``app_name``, ``user_id``, ``status`` (one or several), ``created_after``,
        ``created_before``, ``updated_after``, ``updated_before``, ``metadata`` (equal top-level
        values), ``order_by`` (``updated_at``, or ``created_at``, which stays put under writes).
        """
        query = Query(limit=limit, cursor=cursor, **conditions)
        return self.repository.list(query, self._moment())

    def pages(self, *, limit: int = MAX_PAGE, **conditions: Unpack[Conditions]) -> Iterator[Page]:
        """All pages of ``list_sessions``, one after the other."""
        page = self.list_sessions(limit=limit, **conditions)
        yield page
        while page.cursor:
            page = self.list_sessions(limit=limit, cursor=page.cursor, **conditions)
            yield page

    def get_all_user_sessions(
        self, user_id: str, *, app_name: str | None = None
    ) -> list[SessionHead]:
        """The heads of all sessions of a user, newest first."""
        user_id = codec.identifier(user_id, "user_id")  # None would mean: of all users
        return self._all(user_id=user_id, app_name=app_name)

    def get_active_sessions(
        self, *, user_id: str | None = None, app_name: str | None = None
    ) -> list[SessionHead]:
        """The heads of all running sessions, newest first."""
        return self._all(user_id=user_id, app_name=app_name, status=Status.RUNNING)

    def get_session_count(self, **conditions: Unpack[Conditions]) -> int:
        """How many live sessions there are, or match the conditions of ``list_sessions``."""
        return self.repository.count(checked_filter(Query(**conditions)), self._moment())

    def _all(self, **conditions: Unpack[Conditions]) -> list[SessionHead]:
        """Newest first; read in the order of creation, which stays put while sessions are used."""
        conditions["order_by"] = "created_at"
        heads = [head for page in self.pages(**conditions) for head in page.sessions]
        return sorted(heads, key=_recency, reverse=True)

    def _key(self, session_id: str, user_id: str | None, app_name: str) -> SessionKey:
        """The whole key; without ``user_id`` the one live session of that id in the app."""
        if user_id is not None:
            return SessionKey(app_name, user_id, session_id)
        conditions = Filter(
            app_name=codec.identifier(app_name, "app_name"),
            session_id=codec.identifier(session_id, "session_id"),
        )
        found = self.repository.select(conditions, None, 2, self._moment())
        if not found:
            raise SessionNotFoundError(SessionKey(app_name, "*", session_id))
        if len(found) > 1:
            raise AmbiguousSessionError(app_name, session_id)
        return found[0].key

    def _moment(self, max_age_hours: float | None = None) -> Moment:
        """The clock's reading and the cutoff of the policy, or of ``max_age_hours`` instead."""
        now = codec.utc(self._clock(), "the clock's time")
        hours = self.expiration_hours if max_age_hours is None else max_age_hours
        return moment_at(now, hours, self.expiration_policy)


def _recency(head: SessionHead) -> tuple[datetime, str, str, str]:
    return head.updated_at, head.app_name, head.session_id, head.user_id
