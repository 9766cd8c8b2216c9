"""The bar: for who waits and watches, and never among what was asked for."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

from session_store.cli import progress as module
from session_store.cli.progress import progress
from tests.cli.support import environment, read_all

PROGRAM = """
from session_store.cli import progress as module
from session_store.cli.output import Output
module.PATIENCE = 0
output = Output()
with module.progress("working", 3) as advance:
    for number in range(3):
        advance()
        output.line(f"found {number}")
"""


def watched(*, piped: bool) -> tuple[str, str]:
    """What a program with a bar prints into a pipe, and what on its terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdout=subprocess.PIPE if piped else theirs,
        stderr=theirs,
        text=True,
        env=environment(TERM="xterm-256color", COLUMNS="100"),
    )
    os.close(theirs)
    out = process.stdout.read() if process.stdout else ""
    shown = read_all(ours)
    with process:
        assert process.wait() == 0
    return out, shown


def test_a_pipe_gets_what_was_asked_for_and_the_terminal_the_bar() -> None:
    out, shown = watched(piped=True)
    assert out == "found 0\nfound 1\nfound 2\n"
    assert "found" not in shown
    assert "working" in shown
    assert "3 of 3" in shown


def test_on_one_terminal_what_was_asked_for_stays_above_the_bar() -> None:
    _, shown = watched(piped=False)
    assert all(f"found {number}\r\n" in shown for number in range(3))
    assert shown.index("working") < shown.index("found 2")


def test_nobody_watches_a_file(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0)
    with progress("working", 3) as advance:
        advance(3)
    assert capsys.readouterr() == ("", "")


def test_what_is_done_at_once_needs_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setattr(module, "_started", lambda *_: pytest.fail("there is a bar"))
    with progress("working") as advance:
        advance()
