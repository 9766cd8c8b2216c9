"""Writes what docs/ says about the schema from the schema itself: python docs/generate.py

A test compares the files with what this would write.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path

from alembic import command
from sqlalchemy import Column, Dialect, Index, PrimaryKeyConstraint, Table, UniqueConstraint
from sqlalchemy.dialects import postgresql, sqlite

from session_store.backends.sql import schema
from session_store.backends.sql.names import PLAIN
from session_store.backends.sql.tables import tables_of
from session_store.cli.target import NOWHERE

POSTGRESQL: Dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
SQLITE: Dialect = sqlite.dialect()
DIALECTS = {"postgresql": "PostgreSQL", "sqlite": "SQLite"}
METADATA = tables_of(PLAIN).metadata
DOCS = Path(__file__).parent
PAGE = DOCS / "schema.md"


def documents() -> dict[Path, str]:
    """Each file with what it should contain."""
    made = {DOCS / "sql" / f"{dialect}.sql": sql(dialect) for dialect in NOWHERE}
    page = PAGE.read_text()
    for part, text in {"diagram": diagram(), "tables": "\n".join(tables())}.items():
        page = between(page, part, text)
    return made | {PAGE: page}


def sql(dialect: str) -> str:
    """The SQL that makes the tables, as ``session-store db sql`` prints it."""
    config = schema.config()
    config.attributes.update(url=NOWHERE[dialect])
    config.output_buffer = io.StringIO()
    command.upgrade(config, "head", sql=True)
    return config.output_buffer.getvalue()


def diagram() -> str:
    """An entity-relationship diagram for Mermaid."""
    lines = ["```mermaid", "erDiagram"]
    for table in METADATA.sorted_tables:
        for key in table.foreign_key_constraints:
            lines.append(f"    {key.referred_table.name} ||--o{{ {table.name} : has")
    for table in METADATA.sorted_tables:
        lines.append(f"    {table.name} {{")
        lines += [f"        {_attribute(table, column)}" for column in table.columns]
        lines.append("    }")
    return "\n".join([*lines, "```"])


def tables() -> Iterator[str]:
    for table in METADATA.sorted_tables:
        yield f"### {table.name}\n\n{table.comment}.\n"
        yield "| column | PostgreSQL | SQLite | null | |\n|---|---|---|---|---|"
        for column in table.columns:
            types = (_type(column, made()) for made in (postgresql.dialect, sqlite.dialect))
            null = "yes" if column.nullable else ""
            yield f"| `{column.name}` | {' | '.join(types)} | {null} | {column.comment} |"
        yield "\n| index | on | for |\n|---|---|---|"
        yield from sorted(_indexes(table))
        yield ""


def between(page: str, part: str, text: str) -> str:
    """The page with the text between the marks of this part."""
    marks = f"<!-- {part}: docs/generate.py -->", f"<!-- end of {part} -->"
    pattern = f"{re.escape(marks[0])}.*?{re.escape(marks[1])}"
    return re.sub(pattern, lambda _: f"{marks[0]}\n{text}\n{marks[1]}", page, flags=re.DOTALL)


def _attribute(table: Table, column: Column[object]) -> str:
    keys = ["PK"] if column.primary_key else []
    keys += ["FK"] if column.foreign_keys else []
    type_ = _type(column, POSTGRESQL).replace(" ", "_")
    return " ".join(filter(None, [type_, column.name, ", ".join(keys)]))


def _type(column: Column[object], dialect: Dialect) -> str:
    text = column.type.compile(dialect)
    return {"TIMESTAMP WITH TIME ZONE": "timestamptz"}.get(
        text, text.partition(" COLLATE")[0].lower()
    )


def _indexes(table: Table) -> Iterator[str]:
    keys = [each for each in table.constraints if isinstance(each, UniqueConstraint)]
    indexes: list[Index | UniqueConstraint | PrimaryKeyConstraint] = [
        *table.indexes,
        table.primary_key,
        *keys,
    ]
    for each in indexes:
        columns = ", ".join(column.name for column in each.columns)
        purpose = each.info.get("purpose", "A row by its primary key")
        where = each.dialect_kwargs.get("postgresql_where")
        dialect = each.info.get("dialect", "")
        include = each.dialect_kwargs.get("postgresql_include")
        more = f" (on {DIALECTS[dialect]})" if dialect else ""
        more += "" if where is None else f" where {where}"
        more += f"; on PostgreSQL with {', '.join(include)}" if include else ""
        yield f"| `{each.name}` | {columns}{more} | {purpose} |"


def main() -> None:
    for path, text in documents().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        print(path)


if __name__ == "__main__":
    main()
