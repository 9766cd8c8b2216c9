"""``session-store tail``: new entries as they come, from whatever process."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from session_store import NewEntry
from session_store.cli.main import main
from tests.cli.support import Place, command, environment

pytestmark = pytest.mark.timeout(60)


@contextmanager
def tailing(place: Place, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        command("tail", "talk", "--interval", "0.05", "--store", place.url, *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


def rest(process: subprocess.Popen[str]) -> tuple[str, str]:
    """What it still says, until it ends by itself."""
    assert process.stdout is not None
    assert process.stderr is not None
    found = process.stdout.read(), process.stderr.read()
    process.wait()
    return found


def texts(process: subprocess.Popen[str], count: int) -> list[object]:
    return [json.loads(line(process))["payload"] for _ in range(count)]


def test_entries_are_shown_as_they_come_until_the_session_is_gone(place: Place) -> None:
    with tailing(place, "--last", 2, "--json") as process, place.open() as application:
        assert [json.loads(line(process))["seq"] for _ in range(2)] == [3, 4]
        application.resume_session("talk")
        for number in range(3):
            application.append("talk", [NewEntry(payload=f"{number}-{part}") for part in "ab"])
            assert texts(process, 2) == [f"{number}-a", f"{number}-b"]
        assert application.delete_session("talk")
        out, said = rest(process)
    assert (process.returncode, out) == (0, "")
    assert said == "now running\nsession talk is gone: it was deleted, or has expired\n"


def test_ctrl_c_ends_it_with_130(database: Place) -> None:
    with tailing(database, "--last", 1) as process:
        assert line(process).startswith("#4 checkpoint ")
        assert line(process) == "    paused"
        process.send_signal(signal.SIGINT)
        out, said = rest(process)
    assert (process.returncode, out, said) == (130, "", "session-store: interrupted\n")


def test_a_history_that_was_taken_back_is_followed_from_its_new_end(database: Place) -> None:
    with database.open() as application:
        point = application.create_checkpoint("talk").entry
        with tailing(database, "--last", 1, "--json") as process:
            assert json.loads(line(process))["seq"] == 5
            application.append("talk", "lost")
            assert texts(process, 1) == ["lost"]
            application.restore_checkpoint("talk", point.entry_id, rewind=True)
            application.append("talk", "instead")
            said = process.stderr.readline() if process.stderr else ""
            while texts(process, 1) != ["instead"]:
                pass
            application.append("talk", "and on")
            assert texts(process, 1) == ["and on"]
    assert "taken back" in said


def test_a_new_session_of_the_same_id_is_another_one(database: Place) -> None:
    with tailing(database, "--last", 1) as process, database.open() as application:
        assert line(process).startswith("#4 ")
        application.delete_session("talk")
        application.create_session(user_id="ada", session_id="talk")
        _, said = rest(process)
    assert "is gone" in said


def test_a_session_that_is_not_there_is_an_error(database: Place) -> None:
    assert main(["tail", "nothing", "--store", database.url]) == 1
