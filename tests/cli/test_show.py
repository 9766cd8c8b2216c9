"""``session-store show``: a conversation that people can read, and all of it for programs."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from session_store import Session
from session_store.cli.main import main
from session_store.presentation.conversation import speech
from tests.cli.support import HOSTILE, SHOWN, Place, lines_of, on_terminal

DATES = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)?")


def shown(capsys: pytest.CaptureFixture[str], place: Place, *arguments: object) -> list[str]:
    """Lines, with the times left out."""
    lines = lines_of(capsys, "show", "--store", place.url, *arguments)
    return [DATES.sub("TIME", line) for line in lines]


def test_a_session_reads_as_a_conversation(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shown(capsys, place, "talk") == [
        "talk of ada in default",
        "paused, 4 entries, version 5",
        "created: TIME UTC",
        "updated: TIME UTC",
        "title: Mock interview",
        "priority: 2",
        "",
        "#1 message TIME",
        "    user: I led a team of five.",
        "",
        "#2 message TIME",
        "    coach: Tell me more.",
        "    What went wrong?",
        "",
        "#3 event TIME",
        '    {"tool": "search", "n": [1]}',
        "",
        "#4 checkpoint TIME",
        "    paused",
    ]


def test_a_part_of_the_history_is_shown(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    def seqs(*arguments: object) -> list[str]:
        return re.findall(r"^#(\d+)", "\n".join(shown(capsys, place, "talk", *arguments)), re.M)

    assert seqs("--last", 2) == ["3", "4"]
    assert seqs("--last", 0) == []
    assert seqs("--after", 1, "--last", 2, "--kind", "message") == ["2"]
    assert seqs("--kind", "event") == ["3"]


def test_json_is_the_whole_session(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = lines_of(capsys, "show", "evil", "--json", "--store", place.url)
    with place.open() as service:
        assert Session.model_validate_json(line) == service.get_session("evil")
    assert json.loads(line)["entries"][0]["payload"] == {"role": HOSTILE, "text": HOSTILE}
    assert line.isprintable()


def test_documents_are_shown_when_asked_for(
    database: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = shown(capsys, database, "talk", "--documents", "--last", 0)
    assert json.loads("".join(lines[lines.index("state:") + 1 : lines.index("agent_states:")])) == {
        "question": 2,
        "draft": "Salary",
    }


def test_whose_session_it_is_must_be_said_where_several_hold_its_id(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    same = ["show", "same", "--store", place.url, "--app", "support"]
    assert main(same) == 1
    assert "say whose with --user" in capsys.readouterr().err
    assert "same of bob in support" in lines_of(capsys, *same, "--user", "bob")


def test_a_session_that_is_not_there_is_an_error(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", "nothing", "--store", place.url]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("session-store: error: no live session ")


@pytest.mark.parametrize("to", ["pipe", "terminal"])
def test_what_is_stored_never_commands_the_terminal(
    to: str, database: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    if to == "terminal":
        _, text = on_terminal("show", "evil", "--store", database.url, NO_COLOR="1", columns=300)
    else:
        text = "\n".join(lines_of(capsys, "show", "evil", "--store", database.url))
    assert "".join(text.split("\n")).isprintable()
    assert text.count(SHOWN) == 3


def test_a_terminal_gets_lines_that_fit(database: Place) -> None:
    with database.open() as service:
        service.create_session(user_id="ada", session_id="long")
        words = "word " * 40
        service.append("long", {"role": "user", "text": f"{words}\n  - {words}"})
        service.append("long", {"role": "user", "text": "日本語" * 40})
        service.append("long", {"role": "user", "text": "x" * 150})
    _, text = on_terminal("show", "long", "--store", database.url, columns=50, NO_COLOR="1")
    lines = text.splitlines()
    assert max(map(len, lines)) == 50
    assert max(len(line) for line in lines if "日" in line) <= 28
    assert text.count("word") == 80
    assert "      - word word" in text
    assert "x" * 46 in text


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ("hello", ("", "hello")),
        ({"role": "user", "text": "hello"}, ("user", "hello")),
        ({"sender": "ada", "content": "hello"}, ("ada", "hello")),
        ({"text": "hello"}, ("", "hello")),
        (
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"text": "b"}]},
            ("user", "a\nb"),
        ),
        (
            {"role": "user", "content": [{"image": "x"}]},
            ("", '{"role": "user", "content": [{"image": "x"}]}'),
        ),
        ({"role": "user", "content": 5}, ("", '{"role": "user", "content": 5}')),
        ({"role": 1, "text": "hello"}, ("", "hello")),
        ([1, None], ("", "[1, null]")),
        (None, ("", "null")),
        ({}, ("", "{}")),
    ],
)
def test_speech_is_told_from_other_payloads(payload: Any, expected: tuple[str, str]) -> None:
    assert speech(payload) == expected
