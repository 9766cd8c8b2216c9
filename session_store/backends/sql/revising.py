"""What a revision asks about the database that it changes.

A revision looks at nothing in the database itself, or its SQL could not be written without one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from alembic import op

from session_store.backends.sql.names import Names

_logger: Final = logging.getLogger(__name__)


def on_sqlite() -> bool:
    return op.get_context().dialect.name == "sqlite"


def schema() -> str | None:
    """Where the tables lie; ``None``: where the connection's ``search_path`` says."""
    return _names().schema


def is_alone() -> bool:
    """Whether an SQLite file is ours; with a prefix, the tables are guests in another one's."""
    return not _names().prefix


def own(name: str) -> str:
    """What a table, index or constraint of ours is called in this database."""
    return f"{_names().prefix}{name}"


def of(name: str) -> str:
    """The same, as a statement writes it."""
    return _names().of(name)


def tell_set_aside() -> None:
    """Say how many rows are in ``session_quarantine``, if there are any: to the ``on_set_aside``
    of our ``env.py``, or else as a warning."""
    quarantine = of("session_quarantine")
    found = op.get_bind().exec_driver_sql(
        f"SELECT table_name, reason, count(*) FROM {quarantine} "  # noqa: S608
        "GROUP BY table_name, reason ORDER BY table_name, reason"
    )
    if rows := [f"{count:,} of {table} ({reason})" for table, reason, count in found]:
        tell: Callable[[str], object] = op.get_context().opts.get("on_set_aside") or _logger.warning
        tell(f"set aside in {quarantine}, see docs/dba.md: {', '.join(rows)}")


def _names() -> Names:
    """Those that our ``env.py`` has configured; a host may run the revisions in its own."""
    names: Names = op.get_context().opts.get("names", Names())
    return names
