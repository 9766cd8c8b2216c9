"""SQLAlchemy is what a store in a database costs; nobody else pays for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from session_store import PersistentSessionService

USED = """
import contextlib, io, sys
{work}
print(*sorted({{name.partition(".")[0] for name in sys.modules}} & {{"alembic", "sqlalchemy"}}))
print(*({{"sqlalchemy.orm.session"}} & {{*sys.modules}}))
"""
SERVICE = """
with service:
    service.create_session(user_id="ada", session_id="s1")
    service.append("s1", {"text": "hello"})
    assert service.get_session("s1").last_seq == 1
    service.list_sessions(), service.get_storage_stats(), service.cleanup_expired_sessions()
"""
MEMORY = f"from session_store import *\nservice = InMemorySessionService()\n{SERVICE}"
FILE = f"from session_store import *\nservice = PersistentSessionService('file', 'f')\n{SERVICE}"
SQLITE = (
    f"from session_store import *\nservice = PersistentSessionService('sqlite', 's.db')\n{SERVICE}"
)
COMMAND = """
from session_store.cli.main import main
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    main({arguments})
"""


def imported(work: str, directory: Path) -> list[str]:
    """Which of the two a program imports, and whether the ORM's session is among it."""
    command = [sys.executable, "-c", USED.format(work=work)]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=True)
    return done.stdout.split("\n")[-3:-1]


@pytest.mark.parametrize("work", ["import session_store", MEMORY, FILE])
def test_a_store_in_no_database_imports_neither(work: str, tmp_path: Path) -> None:
    assert imported(work, tmp_path) == ["", ""]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["db", "--help"],
        ["completion", "bash"],
        ["list", "--store", "file"],
        ["show", "s1", "--store", "file"],
        ["stats", "--store", "file"],
        ["search", "hello", "--store", "file", "--text"],
        ["export", "--store", "file", "out.jsonl"],
        ["verify", "--store", "file"],
        ["backup", "--store", "file", "copy"],
        ["delete", "s1", "--store", "file", "--yes"],
        ["accept", "file/sessions.json"],
    ],
    ids=" ".join,
)
def test_a_command_that_opens_no_database_imports_neither(
    arguments: list[str], tmp_path: Path
) -> None:
    with PersistentSessionService("file", tmp_path / "file", cleanup_interval=None) as service:
        service.create_session(user_id="ada", session_id="s1")
        service.append("s1", {"text": "hello"})
    assert imported(COMMAND.format(arguments=arguments), tmp_path) == ["", ""]


def test_a_current_store_in_a_database_imports_neither_alembic_nor_the_orm(tmp_path: Path) -> None:
    assert imported(SQLITE, tmp_path)[0] == "alembic sqlalchemy", "it is made"
    again = SQLITE.replace('"s1"', '"s2"')
    assert imported(again, tmp_path) == ["sqlalchemy", ""]
