"""The router, assembled: who may call what is decided here, once, before the first request."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from enum import Enum
from typing import Any, Final

from fastapi import APIRouter
from fastapi.params import Depends

from session_store.core import codec
from session_store.fastapi.access import anyone, confined
from session_store.fastapi.lifecycle import add_checkpoints, add_status
from session_store.fastapi.lifespan import session_lifespan
from session_store.fastapi.operating import add_health, add_operating
from session_store.fastapi.reading import add_all_sessions, add_reading
from session_store.fastapi.route import MAX_BODY_BYTES, route_class
from session_store.fastapi.writing import add_creating, add_writing
from session_store.service import SessionService
from session_store.session import DEFAULT_APP_NAME

_log: Final = logging.getLogger(__name__)


def session_router(
    service: SessionService,
    *,
    prefix: str = "/sessions",
    tags: Sequence[str | Enum] = ("sessions",),
    dependencies: Sequence[Any] = (),
    user_id: Any = None,
    admin: Any = None,
    app_name: str = DEFAULT_APP_NAME,
    max_body_bytes: int = MAX_BODY_BYTES,
) -> APIRouter:
    """Routes for the sessions of one application, to be included in yours.

    ``dependencies``: ``Depends(…)`` that every request has to pass. ``user_id``: a ``Depends(…)``
    that returns who calls: every route is then confined to the sessions of that user, and
    statistics, cleanup and the list of all users' sessions are there only with ``admin``, a
    ``Depends(…)`` that lets operators pass. With neither, it is open, and says so in the log.
    """
    codec.identifier(app_name, "app_name")
    if not dependencies and user_id is None:
        _log.warning(
            "the session routes under %s are open to whoever can reach them; give session_router "
            "dependencies=[Depends(…)] or user_id=Depends(…)",
            prefix,
        )
    router = APIRouter(
        prefix=prefix,
        tags=list(tags),
        dependencies=list(dependencies),
        route_class=route_class(max_body_bytes),
        lifespan=session_lifespan(service),
        responses={} if user_id is None else {401: {"description": "Who calls is not known"}},
    )
    who = anyone(app_name) if user_id is None else confined(app_name, user_id)
    add_health(router, service)
    if user_id is None or admin is not None:
        _add_operators(router, service, app_name, admin)
    add_creating(router, service, who, is_open=user_id is None)
    add_status(router, service, who)
    add_checkpoints(router, service, who)
    add_writing(router, service, who)
    add_reading(router, service, who)  # the last: its path takes all that is left
    return router


def _add_operators(
    router: APIRouter, service: SessionService, app_name: str, admin: Depends | None
) -> None:
    """What is not one user's."""
    operators = APIRouter(
        dependencies=[] if admin is None else [admin], route_class=router.route_class
    )
    add_operating(operators, service)
    add_all_sessions(operators, service, app_name)
    router.include_router(operators)
