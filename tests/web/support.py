"""What the tests of the routes share: an application over a service, and requests of every kind."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
from fastapi import FastAPI
from fastapi.testclient import TestClient

from session_store import SessionService
from session_store.fastapi import session_router

PROBLEM = "application/problem+json"


def application(service: SessionService, **options: Any) -> FastAPI:
    app = FastAPI()
    app.include_router(session_router(service, **options))
    return app


@contextmanager
def running(service: SessionService, **options: Any) -> Iterator[TestClient]:
    """A client of an application that has started, and ends with the block."""
    with TestClient(application(service, **options), raise_server_exceptions=False) as client:
        yield client


class Direct:
    """Requests as a server passes them on: ``TestClient`` decodes "%252F" twice."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app

    def request(self, method: str, path: str, **options: Any) -> httpx2.Response:
        async def send() -> httpx2.Response:
            transport = httpx2.ASGITransport(self._app)
            async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
                return await client.request(method, path, **options)

        return asyncio.run(send())


def problem(response: Any) -> str:
    """The code of the problem that the response holds."""
    assert response.headers["content-type"] == PROBLEM
    found = response.json()
    assert found["status"] == response.status_code
    return str(found["type"].rpartition(":")[2])


def operations(app: FastAPI) -> list[tuple[str, str, dict[str, Any]]]:
    """Method, path and description of every operation of the OpenAPI document."""
    return [
        (method.upper(), path, operation)
        for path, methods in app.openapi()["paths"].items()
        for method, operation in methods.items()
    ]
