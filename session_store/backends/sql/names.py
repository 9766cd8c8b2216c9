"""What the tables are called in a database that is shared with others."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from session_store.errors import SettingsError

_PREFIX: Final = re.compile(r"([a-z_][a-z0-9_]{0,19})?")
_PLACE: Final = re.compile(r"\{(own:)?(\w+)\}")
_SCHEMA: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}")


class Names(NamedTuple):
    """``schema``: where the tables lie; ``None`` leaves it to the connection's ``search_path``.
    ``prefix``: what the name of each of them, of each index and each constraint begins with."""

    schema: str | None = None
    prefix: str = ""

    def of(self, name: str) -> str:
        """The name of a table, as a statement writes it."""
        return self.qualified(self.own(name))

    def own(self, name: str) -> str:
        """The same without the schema, as a trigger or a constraint is called."""
        return f"{self.prefix}{name}"

    def qualified(self, own: str) -> str:
        return own if self.schema is None else f'"{self.schema}".{own}'

    def placed(self, text: str) -> str:
        """A text of DDL with the names that stand in it as ``{sessions}`` or ``{own:sessions}``."""
        return _PLACE.sub(lambda found: (self.own if found[1] else self.of)(found[2]), text)


PLAIN: Final = Names()


def checked_names(schema: str | None, prefix: str) -> Names:
    """``SettingsError`` for names that people would have to quote, or too long for PostgreSQL."""
    if schema is not None and not _SCHEMA.fullmatch(schema):
        raise SettingsError("a schema's name has 1 to 63 of a-z, 0-9 and _, and no digit first")
    if not _PREFIX.fullmatch(prefix):
        raise SettingsError("a table prefix has up to 20 of a-z, 0-9 and _, and no digit first")
    return Names(schema, prefix)
