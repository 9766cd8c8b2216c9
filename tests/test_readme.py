"""README's Python runs, and prints what README says it prints."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from session_store.cli.parser import make_parser
from session_store.settings import PREFIX, Settings
from tests.cli.support import on_terminal

README = Path(__file__).parent.parent.joinpath("README.md").read_text()
BLOCKS = re.findall(
    r"```python\n(.*?)```(?:\n\n(?:prints\n\n)?```text\n(.*?)```)?", README, re.DOTALL
)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One directory for all blocks: they are one story."""
    return tmp_path_factory.mktemp("readme")


@pytest.mark.parametrize(
    ("code", "printed"), BLOCKS, ids=[f"block-{n}" for n in range(len(BLOCKS))]
)
def test_a_block_prints_what_the_readme_says(code: str, printed: str, directory: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=directory, capture_output=True, text=True, check=False
    )
    assert (done.stderr, done.stdout) == ("", printed)


SECTION = README.partition("\n## Command line\n")[2].partition("\n## ")[0]
EXPORTED = re.findall(r"^\$ export (.*)", SECTION, re.MULTILINE)
CAPTURED = re.findall(r"^\$ session-store (.*)\n((?:(?!\$|```).*\n)+)", SECTION, re.MULTILINE)
VARYING = {
    r"\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)?": "TIME",
    r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f-]{21}": "ID",
}


def test_the_commands_show_what_the_readme_says(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the blocks, of whose sessions the section is about."""
    if not Path(directory, "data", "sessions.db").exists():
        for code, printed in BLOCKS:
            test_a_block_prints_what_the_readme_says(code, printed, directory)
    monkeypatch.chdir(directory)
    settings = dict(setting.split("=") for line in EXPORTED for setting in line.split())
    assert (len(CAPTURED), len(settings)) == (3, 2)
    for arguments, text in CAPTURED:
        code, shown = on_terminal(*shlex.split(arguments), NO_COLOR="1", **settings)
        assert (code, _steady(shown)) == (0, _steady(text))


def _steady(text: str) -> str:
    for pattern, name in VARYING.items():
        text = re.sub(pattern, name, text)
    return text


def test_all_commands_are_in_the_readme() -> None:
    rows = SECTION.partition("| command |")[2]
    named = set(re.findall(r"`([a-z]+)`", "\n".join(re.findall(r"^\| (`.*?) \|", rows, re.M))))
    (commands,) = [action for action in make_parser()._actions if isinstance(action.choices, dict)]
    assert named == set(commands.choices or ())


def test_the_readme_has_the_blocks_that_this_test_is_about() -> None:
    assert len(BLOCKS) == README.count("```python") >= 6


def test_every_setting_is_in_the_readme_with_its_default() -> None:
    rows = dict(re.findall(rf"\| `{PREFIX}(\w+)` \| `?([^`|]*)`? *\|", README))
    defaults = {name.upper(): field.default for name, field in Settings.model_fields.items()}
    assert {name: _shown(value) for name, value in defaults.items()} == {
        name: value.strip() for name, value in rows.items()
    }


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    return "" if value is None else str(value)
