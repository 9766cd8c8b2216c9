"""Constructs as text: compiled once for each dialect, on first use.

A connection of SQLAlchemy's takes 15 to 26 us for a statement; a text that goes to the driver as it
is takes none of that (``benchmarks`` has a turn).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeAlias

from sqlalchemy import BindParameter, ClauseElement, Dialect, bindparam
from sqlalchemy.types import NullType, TypeEngine

Construct: TypeAlias = ClauseElement

_MARK: Final = "p_"
"""Begins the name of each parameter: one that is called like a column would be one of its own to
SQLAlchemy where a row is inserted or updated."""


def value(name: str, type_: TypeEngine[Any] | None = None) -> BindParameter[Any]:
    """The value that a call gives under this name."""
    return bindparam(f"{_MARK}{name}", type_=NullType() if type_ is None else type_)


class Prepared(NamedTuple):
    """The text of a construct, and the names of its parameters in their order; of those that are
    not a call's the values are ``fixed``."""

    text: str
    names: tuple[str, ...]
    fixed: Mapping[str, Any]

    def ordered(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        """The values of a call in the order of the parameters."""
        given = {**values, **self.fixed} if self.fixed else values
        return tuple(map(given.__getitem__, self.names))


@lru_cache(maxsize=1024)
def prepared(construct: Construct, dialect: Dialect) -> Prepared:
    """``dialect`` has parameters by their position."""
    compiled: Any = construct.compile(dialect=dialect)
    order = [(name, name.removeprefix(_MARK)) for name in compiled.positiontup or ()]
    fixed = {own: compiled.params[name] for name, own in order if name == own}
    return Prepared(compiled.string, tuple(own for _, own in order), fixed)
