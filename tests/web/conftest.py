from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from session_store import SessionService
from tests.service.support import FakeClock, Store
from tests.web.support import running


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def service(tmp_path: Path, clock: FakeClock) -> Iterator[SessionService]:
    with Store("memory", tmp_path, clock) as store:
        yield store.open()


@pytest.fixture
def client(service: SessionService) -> Iterator[TestClient]:
    """Of an open router over a store in memory."""
    with running(service) as client:
        yield client
