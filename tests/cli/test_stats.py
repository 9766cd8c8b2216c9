"""``session-store stats``: true figures, without reading a history."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from session_store import SessionKey, SessionService
from session_store.cli.main import main
from session_store.core.operations import Moment, checked_create
from session_store.core.queries import Filter, OrderBy, Position, Window
from session_store.core.records import EntryRecord, SessionRecord
from session_store.presentation import figures as module
from session_store.presentation.figures import Figures, earliest, figures
from session_store.session import Session, Status
from tests.cli.support import Place, lines_of, on_terminal
from tests.service.support import NOON, FakeClock, Wrapped

MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC)


class Heads(Wrapped):
    """Lists heads, counts how often, and reads no history."""

    lists = 0

    def select(
        self, query: Filter, position: Position | None, limit: int | None, at: Moment
    ) -> Sequence[SessionRecord]:
        self.lists += 1
        return super().select(query, position, limit, at)

    def fetch(
        self, key: SessionKey, window: Window
    ) -> tuple[SessionRecord, tuple[EntryRecord, ...]] | None:
        raise AssertionError("a history is read")


@pytest.fixture
def service() -> Iterator[SessionService]:
    """Over ``Heads``; it is noon."""
    with SessionService(Heads(), clock=FakeClock(), cleanup_interval=None) as service:
        yield service


def add(service: SessionService, *created: datetime, idle: timedelta = timedelta()) -> None:
    """Sessions that were last written ``idle`` before now, with 2 entries by their heads."""
    service.repository.commit(
        [
            checked_create(
                Session(
                    app_name="default",
                    user_id="ada",
                    session_id=f"s{number}-{time.timestamp()}",
                    status=Status.RUNNING,
                    version=1,
                    last_seq=0,
                    created_at=time,
                    updated_at=max(time, NOON - idle),
                ),
                Moment(NOON),
            )
            for number, time in enumerate(created)
        ]
    )


def of(service: SessionService, days: int = 3) -> Figures:
    return figures(service, days, NOON)


def test_who_waits_is_told_of_each_day(service: SessionService) -> None:
    add(service, NOON)
    told: list[None] = []
    figures(service, 5, NOON, lambda: told.append(None))
    assert len(told) == 5


def test_json_has_all_figures(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = lines_of(capsys, "stats", "--json", "--store", place.url)
    found = json.loads(line)
    assert found["storage_type"] == place.type
    assert found["size_bytes"] > 0
    assert found["sessions"] == {"total": 4, "live": 4, "active": 1, "expired": 0}
    assert found["statuses"] == {
        "created": 2,
        "running": 1,
        "paused": 1,
        "completed": 0,
        "failed": 0,
    }
    assert len(found["days"]) == 14
    assert sum(day["sessions"] for day in found["days"]) == 4
    assert sum(day["entries"] for day in found["days"]) == 5
    assert found["days"][-4]["entries"] == 4
    assert {day["estimated"] for day in found["days"]} == {False}
    with place.open() as service:
        talk = service.get_session("talk")
    assert found["oldest"]["session_id"] == found["next_to_expire"]["session_id"] == "talk"
    assert datetime.fromisoformat(found["oldest"]["created_at"]) == talk.created_at
    expires = datetime.fromisoformat(found["next_to_expire"]["expires_at"])
    assert expires == talk.updated_at + timedelta(hours=168)


def test_a_program_gets_the_same_as_fields(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [line.split("\t") for line in lines_of(capsys, "stats", "--store", place.url)]
    assert ["sessions", "live", "4"] in lines
    assert ["status", "paused", "1"] in lines
    assert [line[2:] for line in lines if line[0] == "day"][-4] == ["1", "4", "exact"]
    assert [line[1:4] for line in lines if line[0] == "oldest"] == [["talk", "ada", "default"]]


def test_a_person_sees_bars(database: Place) -> None:
    code, shown = on_terminal("stats", "--store", database.url, "--days", 5, NO_COLOR="1")
    lines = shown.splitlines()
    assert (code, lines[0]) == (0, f"{database.url}  SQLite")
    assert f"  created      {'█' * 24} 2" in lines
    assert f"  running      {'█' * 12} 1" in lines
    assert "  failed       0" in lines
    assert lines[-2].startswith("oldest        3 days ago, 20")
    assert lines[-1].startswith("expires next  in 3 days, 20")
    assert lines[-1].endswith(" UTC: talk of ada")


def test_without_blocks_bars_are_drawn_all_the_same(database: Place) -> None:
    _, shown = on_terminal("stats", "--store", database.url, PYTHONIOENCODING="ascii")
    assert f"{'#' * 24}" in shown
    assert shown.isascii()


@pytest.mark.parametrize("days", ["0", "367", "-1", "week"])
def test_more_days_than_a_year_are_wrong_usage(
    days: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["stats", f"--days={days}"])
    assert (ended.value.code, "from 1 to 366" in capsys.readouterr().err) == (2, True)


def test_an_empty_store_has_figures_too(service: SessionService) -> None:
    found = of(service)
    assert (found.live, found.oldest, found.next_to_expire) == (0, None, None)
    assert [day.sessions for day in found.days] == [0, 0, 0]


def test_days_are_those_of_utc_and_end_today(service: SessionService) -> None:
    second = timedelta(seconds=1)
    add(service, MIDNIGHT - second, MIDNIGHT, MIDNIGHT + second, MIDNIGHT - timedelta(days=2))
    days = of(service).days
    assert [(day.day, day.sessions) for day in days] == [
        ("2026-02-27", 1),
        ("2026-02-28", 1),
        ("2026-03-01", 2),
    ]


def test_the_entries_of_a_busy_day_are_estimated(
    service: SessionService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SAMPLE", 4)
    for number in range(8):
        service.create_session(user_id="ada", session_id=f"s{number}")
        for _ in range(3):
            service.append(f"s{number}", "hello")
    today = of(service).days[-1]
    assert (today.sessions, today.entries, today.estimated) == (8, 24, True)


@pytest.mark.parametrize("number", [1, 49, 50, 51, 3000])
def test_the_earliest_is_found_in_few_lists(number: int, service: SessionService) -> None:
    chance = random.Random(number)
    ages = [timedelta(seconds=chance.uniform(0, 10**6)) for _ in range(number)]
    add(service, *(NOON - age for age in ages), idle=timedelta(days=365))
    service.expiration_hours = None
    heads = getattr(service.repository, "inner", service.repository)
    assert isinstance(heads, Heads)
    orders: tuple[OrderBy, ...] = ("created_at", "updated_at")
    for order in orders:
        heads.lists = 0
        head = earliest(service, order)
        assert head is not None
        assert head.created_at == NOON - max(ages)
        assert heads.lists <= 30


def test_the_earliest_of_many_that_began_at_once_is_found(service: SessionService) -> None:
    add(service, *[MIDNIGHT] * 200)
    add(service, *[NOON] * 200)
    head = earliest(service, "created_at")
    assert head is not None
    assert head.created_at == MIDNIGHT


def test_what_expires_next_is_so_by_the_policy(service: SessionService) -> None:
    add(service, NOON - timedelta(days=5))
    add(service, NOON - timedelta(hours=1), idle=timedelta(hours=1))
    expiry = of(service).next_to_expire
    assert expiry is not None
    assert expiry.at == NOON - timedelta(hours=1) + timedelta(days=7)
    service.expiration_policy = "absolute"
    expiry = of(service).next_to_expire
    assert expiry is not None
    assert expiry.at == NOON - timedelta(days=5) + timedelta(days=7)
    service.expiration_hours = None
    assert of(service).next_to_expire is None
