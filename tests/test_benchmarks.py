"""What the benchmarks say must be what they measured."""

from __future__ import annotations

import json
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import chart, cli
from benchmarks.content import DAY, seeds
from benchmarks.measure import Measured
from benchmarks.modes import MODES
from benchmarks.plan import ALONE, AT_ONCE, QUICK, plan
from benchmarks.results import gains, lines, ratio_of
from benchmarks.subjects import FLOOR, OURS, PEERS
from benchmarks.workloads import Timed
from tests.servers.postgres import PostgresServer

SVG = "{http://www.w3.org/2000/svg}"
DOCS = Path(__file__).parent.parent / "docs"


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a quick run left what it found."""
    directory = tmp_path_factory.mktemp("benchmarks")
    kept, drawn = directory / "found.json", directory / "chart.svg"
    wanted = ["--quick", "--stores", "file,sqlite-full"]
    cli.main([*wanted, f"--directory={directory}", f"--json={kept}", f"--svg={drawn}"])
    return directory


def test_every_workload_is_measured_in_every_store(found: Path) -> None:
    rows = json.loads((found / "found.json").read_text())["speed"]["rows"]
    of_sqlite = {row["workload"] for row in rows if row["store"] == "sqlite-full"}
    of_file = {row["workload"] for row in rows if row["store"] == "file"}
    assert of_sqlite == of_file == {workload.name for workload in plan(QUICK)}
    assert all(row["durability"] for row in rows)
    for row in rows:
        taken = {name: subject["seconds"] for name, subject in row["subjects"].items()}
        assert taken[OURS] > 0
        assert (row["ratio"] is not None) == (FLOOR in taken)


def test_nothing_that_was_acknowledged_is_missing(found: Path) -> None:
    rows = json.loads((found / "found.json").read_text())["speed"]["rows"]
    assert sum(row["subjects"][OURS]["calls"] for row in rows) > 100
    assert {row["subjects"][OURS]["lost"] for row in rows} == {0}
    assert {row["subjects"][OURS]["refused"] for row in rows} == {0}


def test_the_chart_has_a_figure_for_every_ratio(found: Path) -> None:
    rows = json.loads((found / "found.json").read_text())["speed"]["rows"]
    drawing = ElementTree.parse(found / "chart.svg")
    figures = [each for each in drawing.iter(f"{SVG}text") if each.get("class") == "figure"]
    assert len(figures) == len([row for row in rows if row["ratio"]]) > 10
    assert chart.drawn(rows) == (found / "chart.svg").read_text()


def test_the_chart_of_the_readme_is_of_the_figures_beside_it() -> None:
    rows = json.loads((DOCS / "benchmarks.json").read_text())["speed"]["rows"]
    assert chart.drawn(rows) == (DOCS / "benchmarks.svg").read_text()


def test_what_eight_threads_gain_over_one_is_said_of_every_store(found: Path) -> None:
    gained = json.loads((found / "found.json").read_text())["at once"]["rows"]
    assert {row["mode"] for row in gained if row["subject"] == OURS} == {"file", "sqlite-full"}


def test_a_gain_is_the_time_of_one_thread_by_that_of_eight() -> None:
    found = lines([_measured(ALONE, 8.0, 8.0, 8.0), _measured(AT_ONCE, 1.0, 2.0, 4.0)])
    assert [gain.ratio for gain in gains(found, ALONE, AT_ONCE)] == [(4.0, 2.0, 8.0)]


def _measured(workload: str, *seconds: float) -> Measured:
    return Measured(workload, workload, "file", OURS, [Timed(each, 1) for each in seconds])


def test_every_part_says_the_durability_of_its_rows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = ["speed", "size", "memory", "growth"]
    wanted = ["--quick", "--stores", "file", "--workloads", "create"]
    cli.main([*parts, *wanted, f"--directory={tmp_path}"])
    tables = capsys.readouterr().out.strip().split("\n\n")
    assert len(tables) == len(parts)
    for table in tables:
        assert all(str(MODES["file"]) in row for row in table.splitlines()[1:])


def test_on_postgresql_every_workload_is_measured(
    postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SESSION_STORE_TEST_POSTGRES_URL", postgres_server.url())
    kept = tmp_path / "found.json"
    cli.main(["--quick", "--stores", "postgres", f"--json={kept}"])
    rows = json.loads(kept.read_text())["speed"]["rows"]
    assert {row["workload"] for row in rows} == {workload.name for workload in plan(QUICK)}
    assert all(row["ratio"] for row in rows)


def test_a_server_without_the_durability_that_rows_name_is_not_measured(
    postgres_server: PostgresServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    hasty = postgres_server.url(options="-c synchronous_commit=off")
    monkeypatch.setenv("SESSION_STORE_TEST_POSTGRES_URL", hasty)
    cli.main(["--stores", "postgres", "--workloads", "create"])
    said = capsys.readouterr()
    assert "without PostgreSQL: its fsync" in said.err
    assert "create a session" not in said.out


def test_the_sessions_of_a_large_store_are_not_expired() -> None:
    oldest = min(seed.updated for seed in seeds("held", 200_000, 0))
    assert time.time() - oldest < 2 * DAY


def test_a_ratio_is_the_median_of_those_of_the_rounds() -> None:
    """Not the ratio of the medians: a round is one moment of the machine."""
    ratio = ratio_of([2.0, 9.0, 40.0], [1.0, 3.0, 10.0])
    assert ratio == (3.0, 2.0, 4.0)
    assert str(ratio) == "3.00 (2.00-4.00)"


def test_a_peer_that_is_not_installed_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    options = cli.parsed(["--peers"])
    names = {each.name for each in cli.installed(options)}
    said = capsys.readouterr().err
    assert {OURS, FLOOR} <= names
    for peer in PEERS:
        assert (peer.name in names) != (f"without {peer.name}, which" in said)
