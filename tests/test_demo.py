"""The demo: it works end to end, it leaves nothing behind, and its checks can fail."""

from __future__ import annotations

import io
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
from rich.console import Console

from session_store import InMemorySessionService
from session_store.cli.demo import ALL
from session_store.cli.main import main
from session_store.demo import checks, crash
from session_store.demo.checks import Acknowledged
from session_store.demo.child import Writer
from session_store.demo.conversations import load
from session_store.demo.errors import DemoError
from session_store.demo.screen import Screen
from session_store.demo.script import AT_ONCE, last_status, script, steps
from session_store.demo.stage import Stage
from session_store.demo.statistics import by_status, by_turns, longest
from session_store.demo.writer import Job
from session_store.session import SessionHead, Status

STORAGES = ("sqlite", "file")
TIMEOUT = 30
ESCAPE = re.compile(r"\x1b\[[\d;]*m")
COLOUR = re.compile(r"\x1b\[(?:\d+;)*[349]\d(?:;\d+)*m")


def start(directory: Path, *arguments: str) -> subprocess.Popen[str]:
    """The demo, with its temporary files in ``directory``. A writer that outlived it would hold
    its standard error open, and reading that to the end would not come to an end."""
    path = os.pathsep.join(sys.path)
    return subprocess.Popen(
        [sys.executable, "-m", "session_store", "demo", *arguments],
        env=os.environ | {"PYTHONPATH": path, "TMPDIR": str(directory), "FORCE_COLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


class Finished(NamedTuple):
    """A demo that has ended: its output, its errors, its exit code and the files it left."""

    out: str
    err: str
    code: int
    files: list[str]


@pytest.fixture(scope="module", params=STORAGES)
def finished(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    directory = tmp_path_factory.mktemp("demo")
    with start(directory, "--storage", request.param, "--conversations", "6") as demo:
        out, err = demo.communicate(timeout=TIMEOUT)
    return Finished(out, err, demo.returncode, os.listdir(directory))


def test_the_demo_works_and_leaves_nothing_behind(finished: Finished) -> None:
    assert (finished.code, finished.err, finished.files) == (0, "", [])


def test_what_was_acknowledged_before_the_kill_is_there(finished: Finished) -> None:
    found = re.search(r"ok (\d+) acknowledged turns, (\d+) found, 0 lost", finished.out)
    assert found
    assert found[1] == found[2]
    turns = sum(len(talk.turns) for talk in load(6))
    everything = f"ok 6 conversations, {turns} turns, each exactly once and word for word"
    assert everything in finished.out


def test_the_demo_shows_shutdown_expiration_and_statistics(finished: Finished) -> None:
    assert "turns in memory, none in the store; SIGTERM; " in finished.out
    assert "ok the cleanup removed 2 sessions and left 5" in finished.out
    assert "conversations by number of turns" in finished.out


def test_output_that_is_no_terminal_is_plain_text(finished: Finished) -> None:
    assert finished.out.isascii()
    assert all(line.isprintable() for line in finished.out.splitlines())
    assert all(line == line.rstrip() for line in finished.out.splitlines())


def test_a_kept_store_stays_and_the_demo_says_where(tmp_path: Path) -> None:
    kept = tmp_path / "kept here"
    with start(tmp_path, "--storage", "file", "--conversations", "1", "--keep", str(kept)) as demo:
        out, _ = demo.communicate(timeout=TIMEOUT)
    assert f"less '{kept}/sessions.json'" in out
    assert [path.name for path in tmp_path.iterdir()] == ["kept here"]


@pytest.mark.parametrize(
    ("signal_number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_demo_that_is_stopped_leaves_nothing_behind(
    signal_number: int, code: int, tmp_path: Path
) -> None:
    with start(tmp_path) as demo:
        assert demo.stdout
        while not demo.stdout.readline().startswith(" 1"):
            pass
        demo.send_signal(signal_number)
        _, err = demo.communicate(timeout=TIMEOUT)
    assert demo.returncode == code
    assert err == ("session-store: interrupted\n" if signal_number == signal.SIGINT else "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("tampering", "message"),
    [
        (
            "DELETE FROM session_entries WHERE seq = 2 AND session = 1",
            "its entries are not all of 1 to ",
        ),
        ("UPDATE session_entries SET payload = '{}' WHERE seq = 2 AND session = 1", " 1 lost"),
        ("UPDATE session_entries SET seq = 99 WHERE seq = 2 AND session = 1", "are not all of"),
        ("UPDATE sessions SET last_seq = last_seq + 1 WHERE id = 1", "are not all of"),
        ("DELETE FROM sessions WHERE id = 1", " lost"),
    ],
    ids=["removed", "altered", "moved", "not counted", "whole session"],
)
def test_the_demo_fails_when_something_is_lost(
    tampering: str,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    kill = crash._kill

    def kill_and_tamper(stage: Stage, writer: Writer) -> None:
        kill(stage, writer)
        with sqlite3.connect(stage.directory / "sessions.db") as database:
            database.execute("PRAGMA foreign_keys = ON")
            assert database.execute(tampering).rowcount == 1
        database.close()

    monkeypatch.setattr(crash, "_kill", kill_and_tamper)
    assert main(["demo", "--conversations", "2"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("session-store: error: ")
    assert err.count("\n") == 1
    assert message in err


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("storage", STORAGES)
def test_a_stopped_writer_saves_what_it_holds_in_memory(
    storage: str, stop: int, tmp_path: Path
) -> None:
    stage = a_stage(tmp_path, storage)
    with Writer(replace(stage.job(), auto_save=False)) as writer:
        ledger = written(stage, writer, 30)
        with stage.open() as service:
            assert service.get_session_count() == 0
        writer._process.send_signal(stop)
        assert writer._process.wait(TIMEOUT) == 0
    with stage.open() as service:
        assert checks.survived(service, ledger).turns == sum(
            done.step.turn is not None for done in ledger
        )


def test_a_writer_whose_parent_is_gone_saves_and_ends(tmp_path: Path) -> None:
    stage = a_stage(tmp_path, "sqlite")
    with Writer(replace(stage.job(), auto_save=False)) as writer:
        ledger = written(stage, writer, 30)
        writer._input.close()
        assert writer.acknowledged() is None
        assert writer._process.wait(TIMEOUT) == 0
    with stage.open() as service:
        assert checks.survived(service, ledger).surplus == 0


def test_a_writer_that_fails_says_why_and_fails_the_demo(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    job = Job("file", str(tmp_path / "file"), 1)
    with Writer(job) as writer, pytest.raises(DemoError, match="exit code 1"):
        writer.call()
    assert capfd.readouterr().err.startswith("session-store: the writer failed: ")


def test_a_writer_that_has_ended_already_was_not_killed(tmp_path: Path) -> None:
    with Writer(Job("sqlite", str(tmp_path), 1)) as writer:
        writer.call()
        writer.stop()
        with pytest.raises(DemoError, match="had ended before"):
            writer.kill()


def test_each_step_can_be_repeated() -> None:
    conversations = load(12)
    with InMemorySessionService() as service:
        for step in steps(conversations):
            first = step.carry_out(service)
            assert step.carry_out(service) in (first, None)
        assert checks.complete(service, conversations) == sum(
            len(talk.turns) for talk in conversations
        )


def test_conversations_take_turns_and_each_is_carried_out_in_order() -> None:
    conversations = load(20)
    plan = list(steps(conversations))
    for number, talk in enumerate(conversations):
        turns = [step.turn for step in plan if step.conversation is talk and step.turn]
        assert turns == list(talk.turns)
        assert len(script(talk, number)) == sum(step.conversation is talk for step in plan)
    assert len({step.conversation.session_id for step in plan[:AT_ONCE]}) == AT_ONCE


def test_all_conversations_are_offered() -> None:
    assert len(load(ALL + 1)) == ALL


def test_conversations_end_in_every_way() -> None:
    assert {last_status(number) for number in range(10)} == set(Status) - {Status.CREATED}


def test_statistics_come_from_heads() -> None:
    heads = [a_head("a", 12), a_head("b", 31, Status.PAUSED), a_head("c", 14)]
    assert by_status(heads) == [("paused", "1", "31", "31"), ("completed", "2", "26", "14")]
    assert longest(heads) == [("31", "b"), ("14", "c"), ("12", "a")]
    assert by_turns(heads) == {"10-14": 2, "15-19": 0, "20-24": 0, "25-29": 0, "30-34": 1}


def test_a_terminal_gets_colours_and_no_color_takes_them_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert COLOUR.search(shown(["3 sessions"]))
    monkeypatch.setenv("NO_COLOR", "1")
    assert not COLOUR.search(shown(["3 sessions"]))


def test_on_a_terminal_what_is_too_long_is_broken_or_cut() -> None:
    lines = ESCAPE.sub("", shown(["word " * 40])).splitlines()
    assert max(map(len, lines)) <= 60
    assert sum(line.endswith("…") for line in lines) == 2


def test_elsewhere_no_line_of_data_is_cut() -> None:
    assert shown(["word " * 40 + "end"], terminal=False).count("end\n") == 3


def shown(claims: Sequence[str], *, terminal: bool = True) -> str:
    file = io.StringIO()
    screen = Screen(Console(file=file, force_terminal=terminal, width=60))
    screen.step("A step", "What happens in it. " * 5)
    for claim in claims:
        screen.proved(claim)
        screen.quote("user", claim)
    screen.table({"turns": ">", "title": "<"}, [("1", claim) for claim in claims])
    screen.chart({"1-4": 3, "5-9": 0})
    return file.getvalue()


def a_stage(directory: Path, storage: str) -> Stage:
    screen = Screen(Console(file=io.StringIO()))
    return Stage(screen, storage, directory / "store", load(3))


def written(stage: Stage, writer: Writer, calls: int) -> list[Acknowledged]:
    return [Acknowledged(step, writer.call()) for step in stage.plan[:calls]]


def a_head(title: str, turns: int, status: Status = Status.COMPLETED) -> SessionHead:
    with InMemorySessionService(cleanup_interval=None) as service:
        session = service.create_session(
            user_id="ada", session_id=title, metadata={"title": title}, state={"turns": turns}
        )
    return session.model_copy(update={"status": status})
