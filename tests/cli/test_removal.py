"""``session-store delete`` and ``cleanup``: they ask first, and remove what they say."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from session_store.cli.main import main
from tests.cli.support import Place, lines_of, on_terminal, run


def ids(place: Place, **options: object) -> set[str]:
    with place.open(expiration_hours=None) as service:
        return {head.session_id for page in service.pages() for head in page.sessions}


@pytest.mark.parametrize("arguments", [["delete", "talk"], ["cleanup", "--max-age-hours", "1"]])
def test_without_a_terminal_they_want_yes(arguments: list[str], database: Place) -> None:
    done = run(*arguments, "--store", database.url)
    assert (done.returncode, done.stdout) == (2, "")
    assert "add --yes" in done.stderr
    assert ids(database) == {"talk", "evil", "same"}


def test_delete_removes_whole_sessions(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert lines_of(capsys, "delete", "talk", "evil", "talk", "--yes", "--store", place.url) == [
        "deleted talk of ada in default",
        "deleted evil of eve in default",
    ]
    assert ids(place) == {"same"}


def test_delete_says_whose_it_deleted(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    same = ["delete", "same", "--yes", "--json", "--store", place.url, "--app", "support"]
    assert main(same) == 1
    assert "belongs to several users" in capsys.readouterr().err
    (line,) = lines_of(capsys, *same, "--user", "cleo")
    assert json.loads(line) == {"app_name": "support", "user_id": "cleo", "session_id": "same"}
    with place.open() as service:
        assert service.get_session("same", app_name="support").user_id == "bob"


def test_delete_of_several_deletes_none_if_one_is_missing(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["delete", "talk", "nothing", "--yes", "--store", place.url]) == 1
    assert "no live session" in capsys.readouterr().err
    assert ids(place) == {"talk", "evil", "same"}


@pytest.mark.parametrize(
    ("answer", "code", "left"), [("y", 0, {"evil", "same"}), ("", 1, {"talk", "evil", "same"})]
)
def test_a_person_is_asked(answer: str, code: int, left: set[str], database: Place) -> None:
    done, shown = on_terminal("delete", "talk", "--store", database.url, typed=f"{answer}\n")
    assert f"delete 1 session with 4 entries from {database.url}? [y/N]" in shown
    assert ("deleted talk" in shown, "nothing was changed" in shown) == (not code, bool(code))
    assert (done, ids(database)) == (code, left)


def test_cleanup_removes_what_has_expired(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    with place.open() as service:
        place.ago = timedelta(days=8)
        service.create_session(user_id="ada", session_id="old")
        place.ago = timedelta()
    cleanup = ["cleanup", "--store", place.url]
    assert lines_of(capsys, *cleanup, "--dry-run") == ["would remove 1 session"]
    assert ids(place) == {"talk", "evil", "same", "old"}
    assert lines_of(capsys, *cleanup, "--yes") == ["removed 1 session"]
    assert ids(place) == {"talk", "evil", "same"}


def test_cleanup_of_an_age_removes_as_many_as_it_says(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    cleanup = ["cleanup", "--store", place.url, "--json", "--max-age-hours"]
    for hours, count, left in (("24", 1, {"evil", "same"}), ("0.25", 2, {"same"}), ("0", 1, set())):
        (dry,) = lines_of(capsys, *cleanup, hours, "--dry-run")
        (done,) = lines_of(capsys, *cleanup, hours, "--yes")
        assert (json.loads(dry), json.loads(done)) == ({"would_remove": count}, {"removed": count})
        assert ids(place) == left


def test_cleanup_asks_a_person_with_the_count(database: Place) -> None:
    code, shown = on_terminal(
        "cleanup", "--max-age-hours", "24", "--store", database.url, typed="yes\n"
    )
    assert f"remove 1 session from {database.url}? [y/N]" in shown
    assert (code, ids(database)) == (0, {"evil", "same"})


@pytest.mark.parametrize("hours", ["-1", "nan", "inf", "old"])
def test_an_age_is_a_number(hours: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["cleanup", "--yes", f"--max-age-hours={hours}"])
    assert ended.value.code == 2
