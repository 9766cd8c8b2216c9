"""The store lives and dies with the application, however it is started and whoever ends it."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from session_store import (
    PersistentSessionService,
    SessionNotFoundError,
    SessionService,
    StoreClosedError,
)
from session_store.fastapi import session_lifespan, session_router
from tests.service.conftest import durable
from tests.service.support import Store, payloads
from tests.web.server import Server, serving

__all__ = ["durable"]


def is_closed(service: SessionService) -> bool:
    try:
        service.check()
    except StoreClosedError:
        return True
    return False


def cleaners() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "session-cleaner"]


def test_a_router_closes_its_store_with_the_application(service: SessionService) -> None:
    app = FastAPI()
    app.include_router(session_router(service))
    with TestClient(app) as client:
        assert client.get("/sessions").status_code == 200
    assert is_closed(service)


def test_a_lifespan_of_its_own_stays_the_applications(service: SessionService) -> None:
    story = []

    @asynccontextmanager
    async def own(app: FastAPI) -> AsyncIterator[dict[str, int]]:
        story.append("start")
        yield {"answer": 42}
        story.append("end")

    app = FastAPI(lifespan=own)
    app.include_router(session_router(service))
    with TestClient(app) as client:
        assert client.app_state["answer"] == 42
        assert not is_closed(service)
    assert (story, is_closed(service)) == (["start", "end"], True)


def test_it_is_used_without_a_router_and_inside_of_another(
    service: SessionService, tmp_path: Path
) -> None:
    @asynccontextmanager
    async def own(app: FastAPI) -> AsyncIterator[None]:
        async with session_lifespan(service)(app):
            service.create_session(user_id="ada")
            yield

    for lifespan in (session_lifespan(service), own):
        with TestClient(FastAPI(lifespan=lifespan)):
            assert not is_closed(service)
        assert is_closed(service)
        service = PersistentSessionService("file", tmp_path, cleanup_interval=None)


def test_several_routers_of_one_store_close_it_once(service: SessionService) -> None:
    app = FastAPI(lifespan=session_lifespan(service))
    app.include_router(session_router(service))
    app.include_router(session_router(service, prefix="/again", app_name="other"))
    with TestClient(app) as client:
        assert client.get("/again").status_code == 200
    assert is_closed(service)


def test_an_application_that_starts_again_is_told_to_make_a_new_service(
    service: SessionService,
) -> None:
    app = FastAPI(lifespan=session_lifespan(service))
    with TestClient(app):
        pass
    with pytest.raises(StoreClosedError, match="make a new one"), TestClient(app):
        pass


def test_the_cleanup_runs_while_the_application_does(tmp_path: Path) -> None:
    before = len(cleaners())
    service = PersistentSessionService("sqlite", tmp_path, cleanup_interval=timedelta(hours=1))
    assert len(cleaners()) == before + 1
    with TestClient(FastAPI(lifespan=session_lifespan(service))):
        assert len(cleaners()) == before + 1
    assert len(cleaners()) == before


def test_what_is_not_saved_yet_is_saved_at_the_end(durable: Store) -> None:
    service = durable.open(auto_save=False)
    app = FastAPI()
    app.include_router(session_router(service))
    with TestClient(app) as client:
        client.post("/sessions", json={"user_id": "ada", "session_id": "s1"})
        client.post("/sessions/s1/entries", json={"entries": [{"payload": "hi"}]})
        assert durable.open().get_session_count() == 0
    assert payloads(durable.open().get_session("s1")) == ["hi"]


def test_a_failure_of_the_application_closes_the_store_too(service: SessionService) -> None:
    @asynccontextmanager
    async def own(app: FastAPI) -> AsyncIterator[None]:
        async with session_lifespan(service)(app):
            service.append("no such session", "hi")
            yield

    with pytest.raises(SessionNotFoundError), TestClient(FastAPI(lifespan=own)):
        pass
    assert is_closed(service)


# With a real server -------------------------------------------------------------------------------


@pytest.fixture
def place(durable: Store, tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """Where a server runs, and its settings for a store of each type."""
    settings = {"SESSION_STORAGE_TYPE": durable.type}
    name = "SESSION_STORAGE_URL" if durable.type == "postgresql" else "SESSION_STORAGE_PATH"
    return tmp_path, settings | {name: durable.place, "SESSION_POOL_SIZE": "10"}


def append(server: Server, number: int) -> int | None:
    """The ``seq`` of an append that was acknowledged; ``None`` for one that was not."""
    body = {"entries": [{"payload": number}]}
    try:
        answer = httpx2.post(f"{server.url}/sessions/s1/entries", json=body, timeout=30)
    except httpx2.TransportError:
        return None
    return int(answer.json()["entries"][0]["seq"]) if answer.status_code == 200 else None


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("auto_save", ["true", "false"])
def test_requests_in_flight_at_sigterm_are_answered_and_durable(
    place: tuple[Path, dict[str, str]], durable: Store, auto_save: str
) -> None:
    directory, settings = place
    settings |= {"PAUSE": "0.7", "SESSION_AUTO_SAVE": auto_save}
    with serving("tests.web.slow_app:app", directory, settings) as server:
        made = httpx2.post(
            f"{server.url}/sessions", json={"user_id": "ada", "session_id": "s1"}, timeout=30
        )
        assert made.status_code == 201
        with ThreadPoolExecutor(8) as pool:
            answers = [pool.submit(append, server, number) for number in range(8)]
            wait_for(lambda: (directory / "in-flight").stat().st_size == 9)
            took = server.terminate()
        acknowledged = {number: answer.result() for number, answer in enumerate(answers)}
    assert server.process.returncode in (0, -15)
    assert took < 3
    assert None not in acknowledged.values()
    session = durable.open().get_session("s1")
    assert {entry.payload: entry.seq for entry in session.entries} == acknowledged
    with serving("tests.web.slow_app:app", directory, settings) as server:
        again = httpx2.get(f"{server.url}/sessions/s1", timeout=30).json()
        assert len(again["entries"]) == 8
