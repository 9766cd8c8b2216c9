"""``export``, ``import`` and ``copy`` on the command line, as people and programs use them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from session_store.backends import open_repository
from session_store.cli.main import main
from session_store.testing.given import KEY, create
from session_store.transfer import sources
from tests.backends.test_sqlite_legacy import STORED, TABLE, insert
from tests.servers.stores import PostgresStore
from tests.transfer.support import held, many, stock

LEGACY = Path(__file__).parents[1] / "legacy" / "sessions.json"


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a store in ``a.db``."""
    for name in [name for name in os.environ if name.startswith("SESSION_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    with open_repository("a.db") as repository:
        stock(repository)
    return tmp_path


@pytest.fixture
def whole() -> list[str]:
    return in_store("a.db")


def in_store(place: str) -> list[str]:
    with open_repository(place) as repository:
        return held(repository)


def started(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        [sys.executable, "-m", "session_store", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        **options,
    )


def test_an_export_is_imported_again(whole: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "all.jsonl.zst", "--store", "a.db"]) == 0
    assert main(["import", "all.jsonl.zst", "--store", "b.db"]) == 0
    out, err = capsys.readouterr()
    assert "exported 8 sessions with" in out
    assert "imported 8 new sessions" in out
    assert err == ""
    assert in_store("b.db") == whole


def test_figures_are_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    main(["export", "all.jsonl", "--store", "a.db", "--json"])
    main(["import", "all.jsonl", "--store", "b.db", "--json"])
    main(["copy", "a.db", "b.db", "--json"])
    exported, imported, copied = map(json.loads, capsys.readouterr().out.splitlines())
    assert exported["sessions"] == imported["added"] == copied["compared"] == 8
    assert exported["entries"] == imported["entries"] == copied["entries"]


def test_the_store_of_the_settings_is_the_default(
    whole: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SESSION_STORAGE_TYPE", "sqlite")
    monkeypatch.setenv("SESSION_STORAGE_PATH", "a.db")
    assert main(["export", "all.jsonl"]) == 0
    monkeypatch.setenv("SESSION_STORAGE_PATH", "b.db")
    assert main(["import", "all.jsonl"]) == 0
    assert in_store("b.db") == whole


def test_a_pipe_leads_from_one_store_to_another(whole: list[str]) -> None:
    command = (
        f"{sys.executable} -m session_store export - --store a.db | gzip |"
        f"{sys.executable} -m session_store import - --store b.db"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        command, shell=True, capture_output=True, text=True, check=True, env=environment
    )
    assert "exported" in done.stderr
    assert "imported 8" in done.stdout
    assert in_store("b.db") == whole


@pytest.mark.parametrize("place", ["nowhere.db", "nowhere", "file:///nowhere/at/all"])
def test_nothing_is_made_where_there_is_no_source(
    place: str, directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(os.listdir(directory))
    assert main(["export", "all.jsonl", "--store", place]) == 1
    assert main(["copy", place, "b.db"]) == 1
    assert "there is no" in capsys.readouterr().err
    assert sorted(os.listdir(directory)) == before


def test_what_is_wrong_is_one_line_and_exit_code_1(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (directory / "bad.jsonl").write_text("{}\n")
    assert main(["import", "bad.jsonl", "--store", "b.db"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("session-store: error: bad.jsonl, line 1")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["export"],
        ["import"],
        ["copy", "a.db"],
        ["copy", "a.db", "b.db", "--on-conflict", "maybe"],
        ["copy", "a.db", "b.db", "--delete"],
    ],
)
def test_wrong_usage_is_exit_code_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert not os.path.exists("b.db")


def test_memory_is_no_store_to_move(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["copy", "a.db", "memory://"]) == 1
    assert main(["copy", "memory://", "b.db"]) == 1
    assert "memory" in capsys.readouterr().err


def test_what_the_source_has_not_is_deleted_with_yes(whole: list[str]) -> None:
    with open_repository("b.db") as repository:
        create(repository, KEY._replace(user_id="own"))
    assert main(["copy", "a.db", "b.db"]) == 1
    assert main(["copy", "a.db", "b.db", "--delete", "--yes"]) == 0
    assert in_store("b.db") == whole


@pytest.mark.parametrize("command", ["export", "import", "copy"])
def test_help_shows_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert f"example: session-store {command} " in " ".join(capsys.readouterr().out.split())


def test_help_imports_nothing_of_it() -> None:
    code = (
        "import sys\n"
        "from session_store.cli.main import main\n"
        "try: main(['copy', '--help'])\n"
        "except SystemExit: print(*sys.modules, file=sys.stderr)"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    names = done.stderr.split()
    assert not [name for name in names if name.startswith(("session_store.transfer", "rich"))]
    assert not {"sqlite3", "gzip", "backports.zstd"} & set(names)


def test_an_application_is_stopped_in_the_middle_of_a_live_copy(whole: list[str]) -> None:
    with started("copy", "a.db", "b.db", "--live", "--json") as process:
        assert process.stderr is not None
        asked = process.stderr.read(len("All is copied"))
        assert asked == "All is copied"
        with open_repository("a.db") as repository:
            create(repository, KEY._replace(session_id="late"))
        out, _ = process.communicate("\n", timeout=60)
    assert json.loads(out)["copied"] == 9
    assert in_store("b.db") == in_store("a.db") != whole


def test_a_live_copy_whose_operator_has_gone_does_not_say_that_it_is_done() -> None:
    with started("copy", "a.db", "b.db", "--live") as process:
        out, err = process.communicate("", timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert "interrupted" in err


@pytest.mark.slow
def test_ctrl_c_ends_a_copy_which_another_finishes(directory: Path) -> None:
    with open_repository("c.db", synchronous="NORMAL") as repository:
        many(repository, 4000, 10)
    with started("copy", "c.db", "b.db") as process:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not _has_sessions("b.db"):
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", "session-store: interrupted\n")
    assert 0 < len(in_store("b.db")) < 4000
    assert main(["copy", "c.db", "b.db"]) == 0
    assert in_store("b.db") == in_store("c.db")


def _has_sessions(place: str) -> bool:
    import sqlite3

    if not os.path.exists(place):
        return False
    with closing(sqlite3.connect(f"file:{place}?mode=ro", uri=True)) as connection:
        try:
            return connection.execute("SELECT 1 FROM sessions LIMIT 1").fetchone() is not None
        except sqlite3.OperationalError:
            return False


# Sources of other releases ------------------------------------------------------------------------


@pytest.fixture
def older(directory: Path) -> Iterator[Path]:
    """A database of the program before this package."""
    import sqlite3

    path = directory / "older.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(TABLE)
    insert(path, *STORED)
    before = path.read_bytes()
    yield path
    assert path.read_bytes() == before
    assert not [name for name in os.listdir(directory) if name.startswith("older.db-")]


def test_the_older_programs_database_is_copied_and_stays_as_it_is(older: Path) -> None:
    assert main(["copy", str(older), "b.db"]) == 0
    assert main(["copy", str(older), "store"]) == 0
    assert len(in_store("b.db")) == len(STORED)
    assert in_store("b.db") == in_store("store")
    assert main(["export", "all.jsonl", "--store", str(older)]) == 0


def test_a_database_of_an_older_release_is_copied_and_stays_as_it_is(whole: list[str]) -> None:
    assert main(["db", "downgrade", "0003", "--yes", "--url", "sqlite:///a.db"]) == 0
    before = Path("a.db").read_bytes()
    assert main(["copy", "a.db", "b.db"]) == 0
    assert Path("a.db").read_bytes() == before
    assert in_store("b.db") == whole


def test_a_source_that_is_read_as_a_copy_is_not_copied_live(
    older: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["copy", str(older), "b.db", "--live"]) == 1
    assert "older release" in capsys.readouterr().err


def test_the_older_programs_json_file_is_copied_and_stays_as_it_is(directory: Path) -> None:
    (directory / "store").mkdir()
    shutil.copy(LEGACY, directory / "store" / "sessions.json")
    before = LEGACY.read_bytes()
    assert main(["copy", "store", "b.db"]) == 0
    assert os.listdir(directory / "store") == ["sessions.json"]
    assert (directory / "store" / "sessions.json").read_bytes() == before
    assert len(in_store("b.db")) == len(json.loads(before)["sessions"])


def test_a_damaged_json_file_is_not_repaired_by_copying_it(
    directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with open_repository("store") as repository:
        stock(repository)
    file = directory / "store" / "sessions.json"
    file.write_bytes(file.read_bytes()[:-100])
    before = {name: Path("store", name).read_bytes() for name in os.listdir("store")}
    assert main(["copy", "store", "b.db"]) == 1
    assert {name: Path("store", name).read_bytes() for name in os.listdir("store")} == before
    assert capsys.readouterr().err


def test_a_source_opened_to_be_read_can_not_be_written() -> None:
    with open_repository("store") as repository:
        stock(repository)
    from session_store.backends import storage_of
    from session_store.errors import StoreUnavailableError

    with (
        sources.opened(storage_of("store")) as source,
        pytest.raises(StoreUnavailableError, match="read only"),
    ):
        create(source.repository, KEY._replace(session_id="new"))


def test_the_recipe_of_the_readme(
    directory: Path, whole: list[str], postgres_store: PostgresStore
) -> None:
    """File to SQLite to PostgreSQL."""
    postgres_store.begin(directory)
    assert main(["copy", "a.db", "file-store"]) == 0
    assert main(["copy", "file-store", "moved.db"]) == 0
    assert main(["copy", "moved.db", postgres_store.url]) == 0
    assert in_store(postgres_store.url) == whole
