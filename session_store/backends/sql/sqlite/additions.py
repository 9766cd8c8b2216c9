"""What a host has added to a table of ours, as SQL, so that the table can be made anew with it.

SQLite keeps the text of what it was told; there is no other place where a CHECK or a DEFAULT stands
as it was written.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Final, NamedTuple

from sqlalchemy import Connection

_TOKEN: Final = re.compile(
    r"--[^\n]*(?:\n|$)|/\*.*?(?:\*/|$)|'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|`(?:[^`]|``)*`|\[[^\]]*\]"
    r"|[\w$]+|\s+|.",
    re.DOTALL,
)
_SILENT: Final = re.compile(r"\s|--|/\*")
_CONSTRAINTS: Final = {"constraint", "primary", "unique", "check", "foreign"}

_KEPT: Final = """SELECT name, type, sql FROM sqlite_master
WHERE tbl_name IN (?, ?) COLLATE NOCASE AND type IN ('index', 'trigger') AND sql IS NOT NULL
ORDER BY rowid"""
_STORED: Final = "SELECT name FROM pragma_table_xinfo(?) WHERE hidden = 0 ORDER BY cid"


class Ours(NamedTuple):
    """The names of what is not the host's, in lower case."""

    columns: Collection[str]
    constraints: Collection[str]
    indexes: Collection[str]
    triggers: Collection[str]


class Additions(NamedTuple):
    """The texts are the host's own. ``stored``: the columns that have values of their own, which
    generated ones have not."""

    columns: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    stored: tuple[str, ...] = ()
    indexes: tuple[str, ...] = ()
    triggers: tuple[str, ...] = ()
    """Those on the table, and on the view."""
    trigger_names: tuple[str, ...] = ()


NONE: Final = Additions()


def additions(connection: Connection, table: str, view: str, ours: Ours) -> Additions:
    """What somebody else has added to the table, and as triggers to the view."""

    def rows(query: str, *values: str) -> list[tuple[str, ...]]:
        return [tuple(row) for row in connection.exec_driver_sql(query, values)]

    ((text,),) = rows("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?", table)
    columns, constraints = _theirs(text, ours)
    kept = rows(_KEPT, table, view)
    indexes = [sql for name, kind, sql in kept if kind == "index" and name not in ours.indexes]
    triggers = [
        (name, sql) for name, kind, sql in kept if kind == "trigger" and name not in ours.triggers
    ]
    stored = [quoted(name) for (name,) in rows(_STORED, table) if name.lower() not in ours.columns]
    return Additions(
        tuple(columns),
        tuple(constraints),
        tuple(stored),
        tuple(indexes),
        tuple(sql for _, sql in triggers),
        tuple(quoted(name) for name, _ in triggers),
    )


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def items(create_table: str) -> list[str]:
    """The columns and constraints of a CREATE TABLE, each as it is written, comments too."""
    found, depth = [""], 0
    for part in _TOKEN.findall(create_table):
        depth -= part == ")"
        if depth == 1 and part == ",":
            found.append("")
        elif depth:
            found[-1] += part
        elif part == ")":
            break
        depth += part == "("
    return [item.strip() for item in found]


def _theirs(create_table: str, ours: Ours) -> tuple[list[str], list[str]]:
    """Columns and constraints that are not ours. One without a name is never ours."""
    columns, constraints = [], []
    for item in items(create_table):
        first, *more = _words(item)
        if first not in _CONSTRAINTS:
            if _bare(first) not in ours.columns:
                columns.append(item)
        elif first != "constraint" or _bare(more[0]) not in ours.constraints:
            constraints.append(item)
    return columns, constraints


def _words(item: str) -> Iterator[str]:
    for part in _TOKEN.findall(item):
        if not _SILENT.match(part):
            yield part.lower()


def _bare(name: str) -> str:
    """Without the quotes of any of SQLite's kinds."""
    mark = {"[": "]"}.get(name[0], name[0])
    return name[1:-1].replace(mark * 2, mark) if name[0] in "\"'`[" else name
