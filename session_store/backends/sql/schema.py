"""Which revision this release needs, where its revisions lie, and how a store is brought to it.

Alembic is imported only to create or upgrade a store: importing it takes longer than opening one.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

from session_store.backends.sql.names import PLAIN, Names
from session_store.errors import SchemaError

if TYPE_CHECKING:
    from alembic.config import Config

REVISIONS: Final = ("0001", "0002", "0003", "0004", "0005", "0006")
"""Those in ``migrations/versions``, the oldest first; a test compares the two."""

HEAD: Final = REVISIONS[-1]

TABLES: Final = (
    "sessions",
    "session_entries",
    "shared_states",
    "session_counts",
    "session_quarantine",
)
VIEW: Final = "session_overview"

VERSION_TABLE: Final = "session_store_alembic_version"
"""Not ``alembic_version``: that one is the host application's."""

PATIENCE: Final = 30.0
"""Seconds to wait for whoever writes. With eight writers one waited 7.5 s."""

LOCK_TIMEOUT: Final = "2s"
"""For how long others of a PostgreSQL database wait behind a statement of ours that waits."""

alembic_lock: Final = threading.Lock()
"""To be held around Alembic's commands: its ``context`` is one for the whole process."""


def migrations() -> Path:
    """The directory of the revisions: in an installed package, else beside it in a checkout."""
    package = Path(__file__).parents[2]
    for place in (package / "migrations", package.parent / "migrations"):
        if (place / "env.py").is_file():
            return place
    raise SchemaError("this installation has no migrations: install session-store again")


def config() -> Config:
    """Alembic's configuration without an ini file."""
    from alembic.config import Config

    made = Config()
    made.set_main_option("script_location", str(migrations()).replace("%", "%%"))
    return made


def upgrade(file: Path, patience: float = PATIENCE, names: Names = PLAIN) -> None:
    """Bring the SQLite store ``file`` to ``HEAD`` in one transaction, or create it there.

    ``SchemaError`` when its revision is unknown; whatever fails, the file is as it was.
    """
    from alembic import command
    from alembic.util import CommandError

    settings = config()
    settings.attributes.update(file=file, patience=patience, names=names)
    try:
        with alembic_lock:
            command.upgrade(settings, "head")
    except CommandError as error:
        raise SchemaError(
            f"{file} can't be brought to revision {HEAD} ({error}): if a newer release of "
            "session-store wrote it, install that one"
        ) from None
