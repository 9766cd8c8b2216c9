"""README's Python runs, and prints what README says it prints."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from session_store.settings import PREFIX, Settings

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
