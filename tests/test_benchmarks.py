"""What the benchmarks say must be what they measured."""

from __future__ import annotations

import json
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import chart, cli
from benchmarks.content import DAY, seeds
from benchmarks.plan import QUICK, plan
from benchmarks.results import ratio_of
from benchmarks.subjects import FLOOR, OURS, PEERS

SVG = "{http://www.w3.org/2000/svg}"


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
