"""The ``alembic`` command: in a checkout, with arguments, from a host's ini file."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config

from session_store.backends.sql import schema
from session_store.backends.sql.names import Names
from session_store.backends.sql.sqlite.layout import APPLICATION_ID
from session_store.backends.sql.sqlite.store import open_sqlite
from session_store.errors import SettingsError
from session_store.testing.given import create
from tests.migrations.support import ROOT, revision_in
from tests.migrations.test_sqlite_revisions import pragma, revision_of
from tests.servers.postgres import PostgresServer


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "alembic", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def host_ini(directory: Path, *lines: str) -> Path:
    """A host's ini file with a section for our tables."""
    ini = directory / "host.ini"
    ours = [f"script_location = {schema.migrations()}", *lines]
    ini.write_text("\n".join(["[alembic]", "script_location = theirs", "[session_store]", *ours]))
    return ini


def test_a_new_file_is_like_one_that_was_opened(tmp_path: Path) -> None:
    path = tmp_path / "100%25 new" / "sessions.db"
    url = {"SESSION_STORAGE_URL": f"sqlite:///{path}"}
    assert run("current", **url).returncode == 0
    assert not path.exists()
    upgraded = run("upgrade", "head", **url)
    assert (upgraded.returncode, "Running upgrade" in upgraded.stderr) == (0, True)
    assert oct(path.stat().st_mode) == "0o100600"
    assert pragma(path, "application_id") == APPLICATION_ID
    with open_sqlite(path) as store:
        create(store)


def test_in_a_checkout_the_setting_names_the_database(postgres_url: str) -> None:
    done = run("upgrade", "head", SESSION_STORAGE_URL=postgres_url)
    assert (done.returncode, "Running upgrade" in done.stderr) == (0, True)
    assert revision_in(postgres_url) == schema.HEAD


def test_arguments_come_before_the_setting(postgres_url: str) -> None:
    said = ["-x", f"url={postgres_url}", "-x", "schema=zz9", "-x", "prefix=yy8_"]
    done = run(*said, "upgrade", "head", SESSION_STORAGE_URL="sqlite:////no/such/place.db")
    assert done.returncode == 0
    assert revision_in(postgres_url, Names("zz9", "yy8_")) == schema.HEAD


def test_a_hosts_ini_file_can_name_everything(tmp_path: Path, postgres_url: str) -> None:
    url = f"sqlalchemy.url = {postgres_url.replace('%', '%%')}"
    ini = host_ini(tmp_path, url, "schema = zz9", "prefix = yy8_")
    command.upgrade(Config(ini, ini_section="session_store"), "head")
    assert revision_in(postgres_url, Names("zz9", "yy8_")) == schema.HEAD


def test_a_hosts_ini_file_can_name_an_sqlite_file(tmp_path: Path) -> None:
    path = tmp_path / "sessions.db"
    ini = host_ini(tmp_path, f"sqlalchemy.url = sqlite:///{path}")
    done = run("-c", str(ini), "-n", "session_store", "upgrade", "head", PYTHONPATH=str(ROOT))
    assert (done.returncode, done.stderr) == (0, "")
    assert revision_of(path) == schema.HEAD


def test_a_single_percent_sign_in_an_ini_file_is_explained(tmp_path: Path) -> None:
    ini = host_ini(tmp_path, "sqlalchemy.url = postgresql://me:secret%40word@127.0.0.1/db")
    with pytest.raises(SettingsError, match=r"write %% for each %") as raised:
        command.upgrade(Config(ini, ini_section="session_store"), "head")
    assert "secret" not in str(raised.value)


def test_a_hosts_loggers_stay_as_they_are(tmp_path: Path, postgres_url: str) -> None:
    url = f"sqlalchemy.url = {postgres_url.replace('%', '%%')}"
    ini = host_ini(tmp_path, url)
    host, root = logging.getLogger("host.application"), logging.getLogger()
    handlers, level = [*root.handlers], root.level
    command.upgrade(Config(ini, ini_section="session_store"), "head")
    assert not host.disabled
    assert (root.handlers, root.level) == (handlers, level)


def test_a_problem_is_one_line(tmp_path: Path) -> None:
    storage = {"SESSION_STORAGE_TYPE": "sqlite", "SESSION_STORAGE_PATH": str(tmp_path)}
    (tmp_path / "sessions.db").write_text("")
    failed = run("upgrade", "head", **storage, SESSION_STORAGE_URL="")
    assert failed.returncode != 0
    assert "restore a backup" in failed.stderr + failed.stdout
    assert "Traceback" not in failed.stderr


def test_a_password_is_not_shown(postgres_server: PostgresServer) -> None:
    url = postgres_server.url("no_such_database", password="s3cret%word")
    failed = run("upgrade", "head", SESSION_STORAGE_URL=url)
    assert failed.returncode != 0
    assert "s3cret" not in failed.stderr + failed.stdout
    assert "Traceback" not in failed.stderr
