"""What the page on the format tells is so: its example is an export, its readers read."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from session_store.backends.memory import MemoryRepository
from session_store.testing.given import KEY, create
from session_store.transfer import format as form
from session_store.transfer.exporting import export_sessions
from session_store.transfer.importing import import_sessions
from tests.transfer.hostile import resealed

PAGE = Path(__file__).parents[2].joinpath("docs", "export.md").read_text()
BLOCKS = dict(re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    payloads = [{"role": "user", "text": "Hi"}, {"role": "assistant", "text": "Hello!"}]
    with MemoryRepository() as repository:
        create(repository, history=payloads, metadata={"title": "Hello"})
        export_sessions(repository, tmp_path / "all.jsonl")
    return tmp_path


def test_the_example_is_an_export_when_its_checksums_are_put_in(tmp_path: Path) -> None:
    text = BLOCKS["json"].replace("…", "0" * 64).encode()
    (tmp_path / "example.jsonl").write_bytes(resealed(text))
    with MemoryRepository() as repository:
        report = import_sessions(tmp_path / "example.jsonl", repository)
        assert (report.added, report.entries, report.shared) == (1, 2, 1)


def test_the_example_is_laid_out_as_we_lay_it_out(tmp_path: Path) -> None:
    text = resealed(BLOCKS["json"].replace("…", "0" * 64).encode())
    (tmp_path / "a.jsonl").write_bytes(text)
    with MemoryRepository() as repository:
        import_sessions(tmp_path / "a.jsonl", repository)
        export_sessions(repository, tmp_path / "b.jsonl")
    ours = (tmp_path / "b.jsonl").read_bytes().splitlines()
    assert ours[1:-1] == text.splitlines()[1:-1]


def test_the_reader_in_python_reads(directory: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-c", BLOCKS["python"]],
        cwd=directory,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [
        f"{KEY.user_id} {KEY.session_id} {{'title': 'Hello'}}",
        "1 message {'role': 'user', 'text': 'Hi'}",
        "2 message {'role': 'assistant', 'text': 'Hello!'}",
    ]


def test_the_reader_in_python_sees_a_change(directory: Path) -> None:
    path = directory / "all.jsonl"
    path.write_text(path.read_text().replace("Hello!", "Hullo!"))
    done = subprocess.run(
        [sys.executable, "-I", "-c", BLOCKS["python"]],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "not whole, or changed" in done.stderr


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
def test_the_reader_in_jq_reads(directory: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", BLOCKS["sh"]], cwd=directory, capture_output=True, text=True, check=True
    )
    assert done.stdout == "Hi\n"


def test_the_page_names_every_type_and_limit() -> None:
    for name in ("export", "session", "entry", "shared", "end"):
        assert f"| `{name}` |" in PAGE
    assert f'"version":{form.VERSION},"created_at"' in PAGE
    from session_store.transfer import checking, files

    assert f"{checking.MAX_SESSION // 2**20} MiB" in PAGE
    assert f"{files.MAX_RATIO} times" in PAGE
