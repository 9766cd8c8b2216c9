"""The command line: what it prints where, its exit codes, and that help is cheap."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from session_store import PersistentSessionService, Status, __version__
from session_store.cli.conditions import STATUSES
from session_store.cli.main import main
from session_store.cli.parser import make_parser
from session_store.demo import story
from tests.cli.support import run

HEAVY = {"pydantic", "sqlalchemy", "alembic", "psycopg", "rich", "anyio", "dotenv", "sqlite3"}


@pytest.fixture
def edited(tmp_path: Path) -> Path:
    """A sessions.json of two sessions, in which someone has corrected a word."""
    with PersistentSessionService("file", tmp_path) as service:
        for name in ("s1", "s2"):
            service.create_session(user_id="ada", session_id=name)
            service.append(name, {"text": "helo"})
    file = tmp_path / "sessions.json"
    file.write_text(file.read_text().replace("helo", "hello"))
    return file


def test_the_version_is_the_packages() -> None:
    done = run("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"session-store {__version__}\n", "")


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from session_store.cli.main import main\n"
        "try: main(['demo', '--help'])\n"
        "except SystemExit: print(*sys.modules, file=sys.stderr)"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert HEAVY.isdisjoint(done.stderr.split())


def parsers(parser: argparse.ArgumentParser, name: str = "session-store") -> Iterator[Any]:
    """Of all commands and of their commands, by their whole names."""
    yield name, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word, child in action.choices.items():
                yield from parsers(child, f"{name} {word}")


PARSERS = dict(parsers(make_parser()))


def test_all_commands_are_there() -> None:
    wanted = "stats list show tail search delete cleanup demo accept db completion"
    assert {f"session-store {name}" for name in wanted.split()} <= PARSERS.keys()


@pytest.mark.parametrize("name", PARSERS)
def test_help_of_a_command_shows_an_example_that_is_one(name: str) -> None:
    label, _, example = PARSERS[name].format_help().replace("\n", " ").rpartition("example: ")
    words = shlex.split(example.partition(" >")[0])
    assert label
    assert " ".join(words).startswith(name)
    assert make_parser().parse_args(words[1:]).run


@pytest.mark.parametrize("name", PARSERS)
def test_help_of_options_is_there(name: str) -> None:
    assert all(action.help for action in PARSERS[name]._actions if action.option_strings)
    assert PARSERS[name].description.endswith(".")


def test_the_statuses_are_those_of_sessions() -> None:
    assert tuple(Status) == STATUSES


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["no-such-command"],
        ["accept"],
        ["demo", "--storage", "paper"],
        ["demo", "--conversations", "0"],
        ["demo", "--conversations", "181"],
        ["demo", "--conversations", "all"],
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    captured = capsys.readouterr()
    assert (ended.value.code, captured.out) == (2, "")
    assert captured.err.startswith("usage: session-store")


def test_accept_takes_an_edited_file_and_says_how_many_sessions_it_holds(
    edited: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["accept", str(edited)]) == 0
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == (f"{edited}: accepted, 2 sessions\n", "")
    with PersistentSessionService("file", edited.parent) as service:
        assert service.get_session("s1").entries[0].payload == {"text": "hello"}


def test_accept_answers_programs_in_json(edited: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["accept", str(edited), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"file": str(edited), "sessions": 2}


def test_accept_leaves_a_broken_file_as_it_is(edited: Path) -> None:
    broken = edited.read_text()[:-20]
    edited.write_text(broken)
    done = run("accept", edited)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("session-store: error: ")
    assert done.stderr.count("\n") == 1
    assert edited.read_text() == broken


def test_a_file_that_is_not_there_is_an_error_in_one_line(tmp_path: Path) -> None:
    done = run("accept", tmp_path / "sessions.json")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "session-store: error: there is no " in done.stderr


def test_ctrl_c_ends_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(story, "run", interrupted)
    assert main(["demo"]) == 130
    assert capsys.readouterr().err == "session-store: interrupted\n"


def test_the_demo_keeps_its_store_only_in_an_empty_directory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sessions.json").write_text(json.dumps({}))
    assert main(["demo", "--keep", str(tmp_path)]) == 1
    assert "is not empty" in capsys.readouterr().err
