"""The store lives and dies with the application."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeAlias

from session_store.errors import StoreClosedError
from session_store.service import SessionService
from session_store.service.aio import AsyncSessionService

Lifespan: TypeAlias = Callable[[Any], AbstractAsyncContextManager[None]]


def session_lifespan(service: SessionService) -> Lifespan:
    """A lifespan for ``FastAPI(lifespan=…)``: when the application ends, the hourly cleanup does,
    what is not saved is, and the store is closed.

    In a lifespan of your own: ``async with session_lifespan(service)(app): yield``. A router of
    ``session_router`` brings it along; several for one service do no harm. A service is open from
    its making, and closed it stays: an application that starts again needs a new one.
    """

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        if service.is_closed:
            raise StoreClosedError(
                "the service was closed when the application ended; make a new one, and a router "
                "with it, for each start"
            )
        async with AsyncSessionService(service):
            yield

    return lifespan
