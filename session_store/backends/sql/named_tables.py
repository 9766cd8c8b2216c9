"""The tables of ``tables`` as one database has them, for Alembic to compare it with."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    CheckConstraint,
    Column,
    Constraint,
    ForeignKeyConstraint,
    Index,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
)

from session_store.backends.sql.names import Names
from session_store.backends.sql.tables import Base


def named_tables(names: Names, dialect: str) -> MetaData:
    """A copy of the models' tables in which each name is as ``names`` says.

    SQLAlchemy's own copy of a table renames neither constraints nor what foreign keys refer to.
    """
    copies = MetaData(schema=names.schema)
    for table in Base.metadata.sorted_tables:
        copy = Table(
            f"{names.prefix}{table.name}",
            copies,
            *(_column(column, dialect) for column in table.columns),
            *(_constraint(constraint, names.prefix) for constraint in table.constraints),
            comment=table.comment,
            **table.dialect_kwargs,
        )
        for index in table.indexes:
            if index.info.get("dialect", dialect) != dialect:
                continue
            columns = (copy.columns[column.name] for column in index.columns)
            Index(f"{names.prefix}{index.name}", *columns, **index.dialect_kwargs)
    return copies


def _column(column: Column[Any], dialect: str) -> Column[Any]:
    """SQLite numbers its rows itself, and Alembic 1.16 would miss an identity there."""
    identity = [type(column.identity)()] if column.identity and dialect != "sqlite" else []
    return Column(
        column.name,
        column.type,
        *identity,
        primary_key=column.primary_key,
        autoincrement=column.autoincrement,
        nullable=column.nullable,
        comment=column.comment,
    )


def _constraint(constraint: Constraint, prefix: str) -> Constraint:
    name = f"{prefix}{constraint.name}"
    match constraint:
        case PrimaryKeyConstraint():
            return PrimaryKeyConstraint(*constraint.columns.keys(), name=name)
        case UniqueConstraint():
            return UniqueConstraint(*constraint.columns.keys(), name=name)
        case CheckConstraint():
            return CheckConstraint(constraint.sqltext, name=name)
        case ForeignKeyConstraint():
            targets = [f"{prefix}{key.target_fullname}" for key in constraint.elements]
            columns = constraint.columns.keys()
            return ForeignKeyConstraint(columns, targets, name=name, ondelete=constraint.ondelete)
    raise TypeError(f"no copy is known of a {type(constraint).__name__}")
