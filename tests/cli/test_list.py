"""``session-store list``: which sessions, in which form."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime, timedelta

import pytest

from session_store import SessionHead
from session_store.cli.main import main
from tests.cli.support import HOSTILE, SHOWN, Place, command, environment, lines_of, on_terminal


def ids(capsys: pytest.CaptureFixture[str], place: Place, *arguments: str) -> list[str]:
    return [
        line.split("\t")[0] for line in lines_of(capsys, "list", "--store", place.url, *arguments)
    ]


def test_a_program_gets_a_line_of_fields_a_session(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [line.split("\t") for line in lines_of(capsys, "list", "--store", place.url)]
    assert [row[:5] for row in rows] == [
        ["same", "cleo", "support", "created", "0"],
        ["same", "bob", "support", "created", "0"],
        ["evil", "eve", "default", "running", "1"],
        ["talk", "ada", "default", "paused", "4"],
    ]
    assert [row[6] for row in rows] == ["", "", f"{SHOWN}\\tb\\r\\nc", "Mock interview"]
    times = [datetime.fromisoformat(row[5]) for row in rows]
    assert times == sorted(times, reverse=True)
    assert timedelta(days=3) < datetime.now(UTC) - times[-1] < timedelta(days=3, minutes=5)


def test_json_is_the_whole_head(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    lines = lines_of(capsys, "list", "--json", "--store", place.url)
    with place.open() as service:
        heads = service.list_sessions().sessions
    assert tuple(SessionHead.model_validate_json(line) for line in lines) == heads
    assert json.loads(lines[2])["metadata"]["title"] == HOSTILE
    assert "".join(lines).isprintable()


def test_conditions_are_those_of_list_sessions(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ids(capsys, place, "--user", "eve") == ["evil"]
    assert ids(capsys, place, "--app", "support") == ["same", "same"]
    assert ids(capsys, place, "--status", "running", "--status", "paused") == ["evil", "talk"]
    assert ids(capsys, place, "--updated-after", "3h", "--updated-before", "1h") == ["evil"]
    assert ids(capsys, place, "--created-before", "2d") == ["talk"]
    assert ids(capsys, place, "--created-after", "2999-01-01") == []
    assert ids(capsys, place, "--metadata", "priority=2") == ["talk"]
    assert ids(capsys, place, "--metadata", 'priority="2"') == []
    assert ids(capsys, place, "--metadata", "title=Mock interview") == ["talk"]


def test_a_limit_is_kept_and_all_come_in_the_order_of_their_creation(
    database: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    with database.open() as service:
        service.touch_session("talk")
        for number in range(60):
            service.create_session(user_id="ada", session_id=f"more-{number}")
    assert len(ids(capsys, database)) == 50
    assert ids(capsys, database, "--limit", "1") == ["more-59"]
    assert len(ids(capsys, database, "--limit", "64")) == 64
    everything = ids(capsys, database, "--all")
    assert (len(everything), everything[0], everything[-1]) == (64, "more-59", "talk")


def test_what_has_expired_is_absent_unless_it_is_asked_for(
    place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with place.open() as service:
        place.ago = timedelta(days=8)
        service.create_session(user_id="ada", session_id="old")
        soon = datetime.now(UTC) - timedelta(days=7.5)
        service.create_session(user_id="ada", session_id="own", expires_at=soon)
    assert ids(capsys, place) == ["same", "same", "evil", "talk"]
    assert ids(capsys, place, "--with-expired")[-2:] == ["own", "old"]
    monkeypatch.setenv("SESSION_EXPIRATION_HOURS", "1")
    assert ids(capsys, place) == ["same", "same"]


def test_a_person_gets_a_table(database: Place) -> None:
    code, shown = on_terminal("list", "--store", database.url, NO_COLOR="1")
    assert (code, shown.splitlines()) == (
        0,
        [
            "ID    USER          STATUS   ENTRIES  UPDATED      TITLE",
            "same  support/cleo  created        0  10 min ago",
            "same  support/bob   created        0  20 min ago",
            "evil  eve           running        1  2 hours ago  "
            "\\x1b[31mred\\x1b]0;mine\\x07 \\u202egnp.exe\\u202c \\…",
            "talk  ada           paused         4  3 days ago   Mock interview",
        ],
    )


def test_colours_are_for_terminals_that_have_them(database: Place) -> None:
    assert "\x1b[" in on_terminal("list", "--store", database.url)[1]
    assert "\x1b[" not in on_terminal("list", "--store", database.url, TERM="dumb")[1]


def test_a_person_hears_that_there_are_more(database: Place) -> None:
    _, shown = on_terminal("list", "--store", database.url, "--limit", "2", NO_COLOR="1")
    assert shown.splitlines()[-1] == "the newest 2; --limit N shows more, --all shows all"
    _, shown = on_terminal("list", "--store", database.url, "--user", "nobody")
    assert shown == "no session\n"


def test_who_reads_only_the_beginning_ends_it_quietly(database: Place) -> None:
    with database.open() as service:
        for _ in range(1500):
            service.create_session(user_id="ada", metadata={"title": "x" * 100})
    process = subprocess.Popen(
        command("list", "--all", "--store", database.url),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline().endswith(b"x\n")
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["--limit", "0"],
        ["--status", "asleep"],
        ["--created-after", "yesterday"],
        ["--metadata", "title"],
    ],
    ids=" ".join,
)
def test_wrong_conditions_are_wrong_usage(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["list", *arguments])
    assert (ended.value.code, capsys.readouterr().out) == (2, "")
