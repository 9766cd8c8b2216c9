"""The application that ``http_load`` sends requests to: the router, and who answered."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable

from fastapi import FastAPI, Request, Response

from session_store import create_session_service
from session_store.fastapi import session_router

app = FastAPI()


@app.middleware("http")
async def name_the_worker(
    request: Request, call_next: Callable[[Request], Awaitable[Response]]
) -> Response:
    response = await call_next(request)
    response.headers["X-Worker"] = str(os.getpid())
    return response


app.include_router(session_router(create_session_service()))
"""Where its sessions are, the environment says."""
