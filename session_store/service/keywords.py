"""The keyword arguments that many methods of the service share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TypedDict

from session_store.core.queries import OrderBy, Scalar
from session_store.session import Status


class Owner(TypedDict, total=False):
    """Whose session it is. ``user_id`` may be left out where only one user of the application has
    a session of that id; ``app_name`` is ``default`` unless it is given."""

    user_id: str | None
    app_name: str


class Expected(Owner, total=False):
    """Whose session is written to, and ``expected_version`` where building on an older state would
    be wrong: with another version stored, ``StaleSessionError``."""

    expected_version: int | None


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
