"""For the ``env.py`` of an application in whose database our tables are, too.

    from session_store.alembic_env import without_session_store

    context.configure(..., include_name=without_session_store())

Without it, ``alembic revision --autogenerate`` would write that our tables are to be dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from session_store.backends.sql.names import checked_names
from session_store.backends.sql.schema import TABLES, VERSION_TABLE, VIEW

IncludeName: TypeAlias = Callable[[str | None, Any, Any], bool]

_DEFAULTS = (None, "public")
"""What Alembic and people call the schema that needs no name."""


def without_session_store(
    include_name: IncludeName | None = None, *, schema: str | None = None, prefix: str = ""
) -> IncludeName:
    """An ``include_name`` for Alembic that leaves our tables out, and asks the host's own one about
    everything else.

    ``schema``, ``prefix``: as in SESSION_POSTGRES_SCHEMA and SESSION_POSTGRES_TABLE_PREFIX.
    """
    names = checked_names(schema, prefix)
    ours = {f"{names.prefix}{name}" for name in (*TABLES, VIEW, VERSION_TABLE)}
    places = _DEFAULTS if schema in _DEFAULTS else (schema,)

    def include(name: str | None, type_: Any, parents: Any) -> bool:
        if type_ == "table" and name in ours and parents.get("schema_name") in places:
            return False
        return include_name is None or include_name(name, type_, parents)

    return include
