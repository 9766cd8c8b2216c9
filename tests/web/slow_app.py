"""An application as a user writes it, for tests that stop it: its writes take ``PAUSE`` seconds."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from fastapi import FastAPI

from session_store import SessionService, create_session_service
from session_store.core.operations import Operation
from session_store.fastapi import session_router
from session_store.repository import SessionRepository
from session_store.session import Applied

PAUSE = float(os.environ.get("PAUSE", "0"))


def slowed(service: SessionService) -> SessionService:
    """Each commit begins after a pause, before which a file says that it is under way."""
    repository: SessionRepository = service.repository
    commit = repository.commit

    def paused(operations: Sequence[Operation]) -> tuple[Applied | None, ...]:
        with open("in-flight", "a") as file:
            file.write(".")
        time.sleep(PAUSE)
        return commit(operations)

    repository.commit = paused  # type: ignore[method-assign]
    return service


app = FastAPI()
app.include_router(session_router(slowed(create_session_service())))
