"""``session-store completion``: a shell completes what the commands take."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from session_store.cli.completion import SHELLS
from tests.cli.support import lines_of

ASK = """
source completion.bash
complete -p session-store >/dev/null || exit 3
COMP_WORDS=(session-store {words} "{part}")
COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
eval "$(complete -p session-store | sed 's/.*-F \\([^ ]*\\).*/\\1/') session-store '{part}' ''"
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_gets_all_commands(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    script = "\n".join(lines_of(capsys, "completion", shell))
    for word in ("stats", "search", "with-expired", "upgrade", "completed"):
        assert word in script


@pytest.mark.parametrize(
    ("words", "part", "expected"),
    [
        ("", "st", {"stats"}),
        ("", "c", {"cleanup", "completion", "copy"}),
        ("db", "up", {"upgrade"}),
        ("list", "--sta", {"--status"}),
        ("list --status", "pa", {"paused"}),
        ("show --store", "sess", {"sessions.db"}),
    ],
)
def test_bash_completes(
    words: str,
    part: str,
    expected: set[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash")
    Path("sessions.db").touch()
    Path("completion.bash").write_text("\n".join(lines_of(capsys, "completion", "bash")))
    done = subprocess.run(
        [bash, "--norc", "-c", ASK.format(words=words, part=part)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert (set(done.stdout.split()), done.stderr) == (expected, "")
