"""``session-store search``: every session that meets the conditions and holds the words."""

from __future__ import annotations

import json
import re

import pytest

from session_store.cli import search
from session_store.cli.main import main
from session_store.cli.search import Match, excerpt
from tests.cli.support import HOSTILE, SHOWN, Place, lines_of, on_terminal


def found(
    capsys: pytest.CaptureFixture[str], place: Place, *arguments: object
) -> list[tuple[str, ...]]:
    """Of each line the id, the number, the kind and the text."""
    lines = lines_of(capsys, "search", "--store", place.url, *arguments)
    return [(row[0], *row[3:]) for row in (line.split("\t") for line in lines)]


def test_words_are_found_wherever_they_are_stored(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    assert found(capsys, place, "--text", "TEAM of") == [
        ("talk", "1", "message", "I led a team of five.")
    ]
    assert found(capsys, place, "--text", "went wrong") == [
        ("talk", "2", "message", "What went wrong?")
    ]
    assert found(capsys, place, "--text", "search") == [("talk", "3", "event", "search")]
    assert found(capsys, place, "--text", "salary") == [
        ("talk", "-", "state", "Salary"),
        ("talk", "4", "checkpoint", "Salary"),
    ]
    assert found(capsys, place, "--text", "mock")[0] == ("talk", "-", "metadata", "Mock interview")
    assert found(capsys, place, "--text", "role") == []


def test_words_are_words_and_no_pattern(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert found(capsys, place, "--text", ".*") == []
    lines = found(capsys, place, "--text", "[BOLD]b")
    assert {(line[0], line[2]) for line in lines} == {("evil", "metadata"), ("evil", "message")}
    assert all(line[3].startswith(SHOWN) for line in lines)


def test_json_has_the_head_and_all_matches(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    (line,) = lines_of(capsys, "search", "--text", "salary", "--json", "--store", place.url)
    session = json.loads(line)
    assert (session["user_id"], session["last_seq"]) == ("ada", 4)
    assert session["matches"] == [
        {"seq": None, "kind": "state", "text": "Salary"},
        {"seq": 4, "kind": "checkpoint", "text": "Salary"},
    ]


def test_conditions_and_words_must_both_be_met(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    assert found(capsys, place, "--text", "team", "--user", "eve") == []
    assert found(capsys, place, "--text", "team", "--metadata", "priority=2")
    assert found(capsys, place, "--text", "team", "--updated-after", "1d") == []


def test_without_words_it_lists(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    everything = lines_of(capsys, "list", "--all", "--store", place.url)
    assert lines_of(capsys, "search", "--store", place.url) == everything
    assert lines_of(capsys, "search", "--store", place.url, "--limit", 1) == everything[:1]


def test_it_ends_after_so_many_sessions(
    database: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    assert {line[0] for line in found(capsys, database, "--text", "e", "--limit", 1)} == {"evil"}


def test_a_person_sees_the_words_marked(database: Place) -> None:
    with database.open() as service:
        service.append("talk", {"text": f"{'before ' * 30}Needle{' after' * 30}"})
        service.append("talk", {"text": "\n".join(["needle"] * 9)})
    _, shown = on_terminal("search", "--text", "needle", "--store", database.url, columns=60)
    marked = shown.replace("\x1b[1;31m", "<").replace("\x1b[0m", ">")
    lines = re.sub(r"\x1b\[[0-9;]*m", "", marked).splitlines()
    assert lines[0].startswith("talk> of ada in default, paused>, 20")
    assert "before <Needle> after" in lines[1]
    assert (lines[1][-1], max(len(line.replace(">", "").replace("<", "")) for line in lines)) == (
        "…",
        60,
    )
    assert lines[-2:] == ["    and 5 more lines>", "found in 1 session of 4"]


def test_a_session_that_goes_meanwhile_is_passed_over(
    database: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = search._entries

    def deleted_first(service: object, head: object) -> object:
        with database.open() as other:
            other.delete_session("talk")
        return entries(service, head)  # type: ignore[arg-type]

    monkeypatch.setattr(search, "_entries", deleted_first)
    assert found(capsys, database, "--text", "team") == []


@pytest.mark.parametrize("width", [10, 25, 40, 200])
def test_an_excerpt_holds_the_words_and_fits(width: int) -> None:
    text = f"{'a' * 50} needle {'b' * 50}"
    for start in (text.index("needle"), 0, len(text) - 6):
        before, words, after = excerpt(Match(1, "message", text, start, start + 6), width)
        assert words == text[start : start + 6]
        assert len(before + words + after) <= max(width, 8)
        assert (before + words + after).strip("…") in text


def test_no_words_are_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["search", "--text", " "])
    assert (ended.value.code, HOSTILE in capsys.readouterr().err) == (2, False)
