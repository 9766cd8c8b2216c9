"""Types of columns that are right on every dialect and driver: aware UTC times, a status, and
Python objects as JSON.

What they refuse is this package's own error, not wrapped in SQLAlchemy's ``StatementError``, which
shows the parameters of its statement.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import JSON, ColumnElement, DateTime, Dialect, String, Text, cast, type_coerce
from sqlalchemy.exc import DontWrapMixin
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine, UserDefinedType

from session_store.core import codec
from session_store.core.operations import checked_status
from session_store.errors import CorruptStoreError, InvalidValueError, TooLargeError
from session_store.session import Status


class _InvalidValueError(InvalidValueError, DontWrapMixin):
    """As a statement lets it through."""


class _TooLargeError(TooLargeError, DontWrapMixin):
    """As a statement lets it through."""


@contextmanager
def _let_through() -> Iterator[None]:
    try:
        yield
    except TooLargeError as refused:
        raise _TooLargeError(refused.path, refused.problem) from None
    except InvalidValueError as refused:
        raise _InvalidValueError(refused.path, refused.problem) from None


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC time; on SQLite, which has no type for it, the codec's text of one width."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "sqlite":
            return dialect.type_descriptor(String(27))
        return dialect.type_descriptor(DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | str | None:
        if value is None:
            return None
        with _let_through():
            time = codec.utc(value, "time")
        return codec.encode_time(time) if dialect.name == "sqlite" else time

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """A server answers in the time zone of the session."""
        if isinstance(value, datetime):
            return value.astimezone(UTC)
        return None if value is None else codec.decode_time(value, "time")


class NamedType(UserDefinedType[Any]):
    """A type of a server that SQLAlchemy has no class for, by its name."""

    cache_ok = True

    def __init__(self, name: str) -> None:
        self.name = name

    def get_col_spec(self, **_: Any) -> str:
        return self.name


class StatusText(TypeDecorator[Status]):
    """A ``Status``, by its value."""

    impl = String(16)
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if value is None:
            return None
        with _let_through():
            return checked_status(value).value

    def process_result_value(self, value: str | None, dialect: Dialect) -> Status | None:
        try:
            return None if value is None else Status(value)
        except ValueError:
            raise CorruptStoreError("status holds none of ours") from None


class _ServersJson(UserDefinedType[str]):
    """JSON of a server as the text that it is, whatever a driver makes of JSON by itself."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "JSON"

    def bind_expression(self, bindvalue: Any) -> ColumnElement[str]:
        return cast(bindvalue, self)

    def column_expression(self, colexpr: Any) -> ColumnElement[Any]:
        return type_coerce(cast(colexpr, Text), JsonText)


NUL_SIGN: Final = "\x1aNUL\x1a"


class WithoutNul(FunctionElement[Any]):
    """JSON to look into. PostgreSQL keeps NUL in it, and fails a whole query that looks there: so
    ``NUL_SIGN`` stands for it."""

    inherit_cache = True
    type = JSON()


@compiles(WithoutNul)
def _as_it_is(element: WithoutNul, compiler: Any, **options: Any) -> str:
    (document,) = element.clauses
    return str(compiler.process(document, **options))


@compiles(WithoutNul, "postgresql")
def _with_a_sign_for_it(element: WithoutNul, compiler: Any, **options: Any) -> str:
    document = _as_it_is(element, compiler, **options)
    return rf"""(CASE
    WHEN strpos(CAST({document} AS TEXT), '\u0000') = 0 THEN {document}
    ELSE CAST(regexp_replace(CAST({document} AS TEXT), '(?<!\\)((?:\\\\)*)\\u0000',
                             '\1\\u001aNUL\\u001a', 'g') AS JSON) END)"""


class JsonText(TypeDecorator[Any]):
    """A JSON value: a Python object for who uses the models, the codec's text in the column.

    Not JSONB: it reorders keys, changes numbers, and refuses values that the other back ends keep.
    On SQLite TEXT: a column declared JSON has numeric affinity there, and makes 1e400 of a text.
    A path is asked for as of SQLAlchemy's own type: ``state["q"].as_integer() == 1``.
    """

    impl = Text
    cache_ok = True

    class Comparator(TypeDecorator.Comparator[Any]):
        """Paths are those of SQLAlchemy's ``JSON``."""

        def __getitem__(self, index: Any) -> Any:
            return type_coerce(WithoutNul(self.expr), JSON)[index]

    comparator_factory = Comparator

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(_ServersJson())
        return super().load_dialect_impl(dialect)

    def process_bind_param(self, value: Any, dialect: Dialect) -> str:
        with _let_through():
            return codec.encode(value, "value")

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        return None if value is None else codec.decode(value, "a document or payload")

    def compare_values(self, x: Any, y: Any) -> bool:
        """For Python ``{"a": 1}`` equals ``{"a": True}`` and ``{"a": 1.0}``: for JSON it does not,
        nor does what stands in another order."""
        if x is y:
            return True
        try:
            return bool(x == y) and codec.encode(x, "value") == codec.encode(y, "value")
        except InvalidValueError:
            return False
