"""Sessions over HTTP, in a FastAPI application of yours.

    from fastapi import FastAPI
    from session_store import create_session_service
    from session_store.fastapi import session_router

    app = FastAPI()
    app.include_router(session_router(create_session_service()))

The router brings the routes, and the store lives and dies with the application. Who may call them
is the application's to say: ``dependencies``, ``user_id`` and ``admin`` of ``session_router``.
"""

from __future__ import annotations

try:
    import fastapi as _  # noqa: F401
except ImportError:
    raise ImportError(
        'session_store.fastapi needs FastAPI: pip install "session-store[fastapi]"'
    ) from None

from session_store.fastapi.lifespan import session_lifespan
from session_store.fastapi.router import session_router

__all__ = ["session_lifespan", "session_router"]
