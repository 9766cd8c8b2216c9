"""The class of our routes: errors become problems in it, and a body that is too large is refused.

In the route, and not by handlers of the application: nothing has to be registered, and what the
application does with its own errors stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from json import JSONDecodeError
from typing import Any, ClassVar, Final

from fastapi.exceptions import RequestValidationError
from fastapi.requests import Request
from fastapi.responses import Response
from fastapi.routing import APIRoute

from session_store.core import codec
from session_store.errors import SessionStoreError, TooLargeError
from session_store.fastapi import problems

MAX_BODY_BYTES: Final = codec.MAX_PAYLOAD_BYTES + 1024 * 1024
"""Enough for the largest payload, written compactly."""


class BoundedRequest(Request):
    """A request whose body has at most ``limit`` bytes, and is read no further."""

    def __init__(self, request: Request, limit: int) -> None:
        super().__init__(request.scope, request.receive)
        self._limit = limit

    async def body(self) -> bytes:
        if not hasattr(self, "_body"):
            self._body = await self._bounded()
        return self._body

    async def json(self) -> Any:
        """Not by Python's ``json``, which takes NaN and is stopped by depth only at a crash."""
        if not hasattr(self, "_json"):
            try:
                self._json = codec.parsed(await self.body())
            except ValueError:
                raise JSONDecodeError("no valid JSON", "", 0) from None
        return self._json

    async def _bounded(self) -> bytes:
        announced = self.headers.get("content-length", "")
        if announced.isdecimal():
            self._check(int(announced))
        body = bytearray()
        async for chunk in self.stream():
            body += chunk
            self._check(len(body))
        return bytes(body)

    def _check(self, size: int) -> None:
        if size > self._limit:
            raise TooLargeError("body", f"has more than {self._limit:,} bytes")


class SessionRoute(APIRoute):
    """A route that answers every ``SessionStoreError``, and what FastAPI refuses, by a problem."""

    max_body_bytes: ClassVar[int] = MAX_BODY_BYTES

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            bounded = BoundedRequest(request, self.max_body_bytes)
            try:
                if self.body_field:
                    await bounded.body()  # FastAPI would make an error in it a 400
                return await handle(bounded)
            except SessionStoreError as error:
                if_match = "if-match" in request.headers
                return problems.response(problems.of_error(error, if_match=if_match))
            except RequestValidationError as error:
                return problems.response(problems.of_validation(error.errors()))

        return answer


def route_class(max_body_bytes: int) -> type[SessionRoute]:
    return type("SessionRoute", (SessionRoute,), {"max_body_bytes": max_body_bytes})
