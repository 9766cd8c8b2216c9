"""What a revision asks about the database that it changes.

A revision looks at nothing in the database itself, or its SQL could not be written without one.
"""

from __future__ import annotations

from alembic import op

from session_store.backends.sql.names import Names


def on_sqlite() -> bool:
    return op.get_context().dialect.name == "sqlite"


def schema() -> str | None:
    """Where the tables lie; ``None``: where the connection's ``search_path`` says."""
    return _names().schema


def own(name: str) -> str:
    """What a table, index or constraint of ours is called in this database."""
    return f"{_names().prefix}{name}"


def of(name: str) -> str:
    """The same, as a statement writes it."""
    return _names().of(name)


def _names() -> Names:
    """Those that our ``env.py`` has configured; a host may run the revisions in its own."""
    names: Names = op.get_context().opts.get("names", Names())
    return names
