"""What a user's OpenTelemetry sees of a store: names, units, attributes, and nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from session_store import (
    AsyncSessionService,
    ConflictError,
    SessionService,
    StaleSessionError,
    StoreUnavailableError,
)
from session_store.backends.memory import MemoryRepository
from session_store.backends.sql.sqlite.store import open_sqlite
from session_store.core.operations import Moment
from session_store.service import metrics as metering
from session_store.service.metrics import Instruments, MeteredRepository
from session_store.testing import RepositoryContract
from tests.service.support import FakeClock, Wrapped, ready_session
from tests.service.test_lifecycle import run

PAGE = Path(__file__).parents[2] / "docs" / "http.md"
SECRET = "hunter2"


class Watcher:
    """What an exporter would be given."""

    def __init__(self) -> None:
        self.reader = InMemoryMetricReader()
        self.provider = MeterProvider([self.reader])
        self.instruments = Instruments(self.provider.get_meter("session_store"))

    def found(self) -> dict[str, Any]:
        """The metrics by their names."""
        data = self.reader.get_metrics_data()
        if data is None:
            return {}
        return {
            metric.name: metric
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def points(self, name: str) -> list[tuple[dict[str, Any], Any]]:
        """Attributes and value, or number of recordings, of each point of a metric."""
        metric = self.found().get(name)
        points = metric.data.data_points if metric else ()
        return [(dict(p.attributes), p.count if hasattr(p, "count") else p.value) for p in points]


@pytest.fixture
def watcher(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watcher]:
    watcher = Watcher()
    monkeypatch.setattr(metering, "shared_instruments", lambda: watcher.instruments)
    yield watcher
    watcher.provider.shutdown()


@pytest.fixture
def counted(watcher: Watcher, clock: FakeClock) -> Iterator[SessionService]:
    with SessionService(MemoryRepository(), cleanup_interval=None, clock=clock) as service:
        yield service


def test_operations_are_timed_by_what_they_are(watcher: Watcher, counted: SessionService) -> None:
    ready_session(counted, user_id="ada", session_id=SECRET)
    counted.append(SECRET, {"text": SECRET}, user_id="ada")
    counted.list_sessions(user_id="ada")
    counts = {
        attributes["session_store.operation"]: number
        for attributes, number in watcher.points("session_store.operation.duration")
    }
    assert counts.pop("stats")  # by the gauges
    assert counts == {"commit": 3, "fetch": 1, "select": 1}
    histogram = watcher.found()["session_store.operation.duration"].data.data_points[0]
    assert 0 < histogram.sum < 1
    assert max(histogram.explicit_bounds) == 30


def test_refused_writes_are_conflicts_and_failures_have_their_error(
    watcher: Watcher, counted: SessionService
) -> None:
    counted.create_session(user_id="ada", session_id="s1")
    counted.append("s1", "a", entry_id="e1")
    for _ in range(2):
        with pytest.raises(StaleSessionError):
            counted.append("s1", "b", expected_version=1)
    with pytest.raises(ConflictError):
        counted.append("s1", "other", entry_id="e1")
    storage = {"session_store.storage.type": "custom"}
    assert watcher.points("session_store.conflicts") == [
        ({**storage, "error.type": "StaleSessionError"}, 2),
        ({**storage, "error.type": "ConflictError"}, 1),
    ]
    failed = [a for a, _ in watcher.points("session_store.operation.duration") if "error.type" in a]
    assert {a["error.type"] for a in failed} == {"StaleSessionError", "ConflictError"}


def test_cleanup_runs_removals_and_failures_are_counted(
    watcher: Watcher, clock: FakeClock, counted: SessionService
) -> None:
    for number in range(5):
        counted.create_session(user_id="ada", session_id=f"s{number}")
    clock.advance(hours=1000)
    counted.cleanup_expired_sessions()
    counted.cleanup_expired_sessions()

    class Failing(Wrapped):
        def remove_expired(self, at: Moment, limit: int) -> int:
            raise StoreUnavailableError("busy")

    failing = SessionService(Failing(), cleanup_interval=None)
    with failing, pytest.raises(StoreUnavailableError):
        failing.cleanup_expired_sessions()
    found = {
        name: watcher.points(f"session_store.cleanup.{name}")[0][1]
        for name in ("runs", "removed", "failures")
    }
    assert found == {"runs": 2, "removed": 5, "failures": 1}


def test_a_run_of_several_batches_is_one_run(
    watcher: Watcher, clock: FakeClock, counted: SessionService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("session_store.service.cleanup.SWEEP_BATCH", 2)
    for number in range(5):
        counted.create_session(user_id="ada", session_id=f"s{number}")
    clock.advance(hours=1000)
    assert counted.cleanup_expired_sessions() == 5
    assert [n for _, n in watcher.points("session_store.cleanup.runs")] == [1]


def test_gauges_show_what_is_stored_until_the_store_is_closed(
    watcher: Watcher, tmp_path: Path
) -> None:
    repository = open_sqlite(tmp_path / "s.db")
    with SessionService(repository, cleanup_interval=None) as service:
        ready_session(service, user_id="ada", session_id="s1")
        service.create_session(user_id="ada")
        assert [n for _, n in watcher.points("session_store.sessions")] == [2]
        assert [n for _, n in watcher.points("session_store.sessions.active")] == [0]
        assert watcher.points("session_store.size")[0][1] > 10_000
    assert watcher.points("session_store.sessions") == []


def test_no_attribute_holds_an_id_or_content(watcher: Watcher, counted: SessionService) -> None:
    ready_session(counted, user_id=SECRET, session_id=SECRET, app_name=SECRET)
    with pytest.raises(StaleSessionError):
        counted.append(SECRET, SECRET, user_id=SECRET, app_name=SECRET, expected_version=9)
    data = watcher.reader.get_metrics_data()
    assert data is not None
    assert SECRET not in data.to_json()


def test_the_page_lists_each_metric_with_its_unit(
    watcher: Watcher, counted: SessionService, tmp_path: Path
) -> None:
    on_disk = SessionService(open_sqlite(tmp_path / "s.db"), cleanup_interval=None)
    counted.create_session(user_id="ada", session_id="s1")
    with pytest.raises(StaleSessionError):
        counted.append("s1", "x", expected_version=9)
    counted.cleanup_expired_sessions()
    watcher.instruments.cleanup_failures.add(1)
    with on_disk:
        found = {name: metric.unit for name, metric in watcher.found().items()}
    rows = re.findall(r"^\| `(session_store[\w.]+)` \| `([^`]+)` \|", PAGE.read_text(), re.M)
    assert dict(rows) == found


def test_what_a_wrapped_repository_can_do_it_still_can(watcher: Watcher, tmp_path: Path) -> None:
    repository = open_sqlite(tmp_path / "s.db", pool_size=3)
    with SessionService(repository, cleanup_interval=timedelta(hours=1)) as service:
        assert isinstance(service.repository, MeteredRepository)
        assert AsyncSessionService(service)._limiter.total_tokens == 3
    with SessionService(MemoryRepository(), auto_save=False) as buffered:
        buffered.create_session(user_id="ada")
        assert buffered.force_save() == 1
    again = SessionService(service.repository, cleanup_interval=None)
    assert again.repository is service.repository


class TestContract(RepositoryContract):
    """A counted repository is a repository."""

    @pytest.fixture
    def repository(self) -> MeteredRepository:
        return MeteredRepository(MemoryRepository(), "memory", Watcher().instruments)


def test_a_provider_that_comes_later_is_given_the_counts() -> None:
    done = run(
        "from session_store import InMemorySessionService\n"
        "service = InMemorySessionService(cleanup_interval=None)\n"
        "from opentelemetry import metrics\n"
        "from opentelemetry.sdk.metrics import MeterProvider\n"
        "from opentelemetry.sdk.metrics.export import InMemoryMetricReader\n"
        "reader = InMemoryMetricReader()\n"
        "metrics.set_meter_provider(MeterProvider([reader]))\n"
        "service.create_session(user_id='ada')\n"
        "print(reader.get_metrics_data().to_json(indent=None))"
    )
    assert done.stderr == ""
    (resource,) = json.loads(done.stdout)["resource_metrics"]
    names = {metric["name"] for scope in resource["scope_metrics"] for metric in scope["metrics"]}
    assert names >= {"session_store.operation.duration", "session_store.sessions"}


def test_without_the_api_nothing_is_wrapped() -> None:
    done = run(
        "import sys; sys.modules['opentelemetry'] = None\n"
        "from session_store import InMemorySessionService\n"
        "with InMemorySessionService() as service:\n"
        "    print(type(service.repository).__name__)"
    )
    assert (done.stderr, done.stdout.strip()) == ("", "MemoryRepository")
