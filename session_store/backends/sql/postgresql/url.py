"""Where a PostgreSQL database is: a URL in any of its common spellings, which never shows itself.

libpq reads the URL in the end; here its form is checked as far as it takes to be sure which part is
the password, so that nothing of that can get into a message.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import SplitResult, parse_qsl, quote, urlencode, urlsplit

from session_store.errors import SettingsError

SCHEMES: Final = frozenset(
    ("postgres", "postgresql", "postgresql+psycopg", "postgresql+psycopg2", "postgresql+asyncpg")
)
FORM: Final = (
    "postgresql://user:password@host:5432/database, in which user and password write %40 for @, "
    "%2F for /, %3A for :, %3F for ?, %23 for # and %25 for %"
)

_ADDRESS: Final = re.compile(r"(\[[0-9a-fA-F:.]+]|[^:\[\]]*)(:\d+)?")
"""``host``, ``host:port`` or ``[::1]:port``: of a password left there the end is no number."""

_FOREIGN: Final = frozenset(
    ("prepared_statement_cache_size", "statement_cache_size", "command_timeout")
)
"""Parameters of asyncpg that mean nothing to libpq; URLs are copied from elsewhere."""

_ASYNCPG_SSL: Final = {"true": "require", "True": "require", "1": "require", "false": "disable"}


class PostgresUrl:
    """A database, by its URL.

    ``shown`` is what people and statistics see: scheme, hosts, ports and database, without user,
    password and parameters. ``conninfo`` is for the driver only. ``SettingsError`` for a URL of
    another form, without showing it.
    """

    __slots__ = ("conninfo", "shown")

    def __init__(self, url: str) -> None:
        parts = _split(url)
        self.shown: Final = f"postgresql://{_hosts(parts)}{parts.path}"
        self.conninfo: Final = f"postgresql://{parts.netloc}{parts.path}{_query(parts)}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.shown!r})"

    def __str__(self) -> str:
        return self.shown

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PostgresUrl) and self.conninfo == other.conninfo

    def __hash__(self) -> int:
        return hash(self.conninfo)


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
    except ValueError:
        raise _unreadable() from None
    beyond = parts.path + parts.query
    readable = (
        parts.scheme in SCHEMES
        and url.lower().startswith(f"{parts.scheme}://")
        and url.isprintable()
        and not parts.fragment
        and "#" not in url
        and "@" not in beyond
        and parts.path.count("/") <= 1
        and ":" not in parts.path
        and parts.netloc.count("@") <= 1
    )
    if not readable or not all(map(_ADDRESS.fullmatch, _hosts(parts).split(","))):
        raise _unreadable()
    return parts


def _hosts(parts: SplitResult) -> str:
    return parts.netloc.rpartition("@")[2]


def _query(parts: SplitResult) -> str:
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    known = [_spelled(name, value) for name, value in pairs if name not in _FOREIGN]
    return f"?{urlencode(known, quote_via=quote)}" if known else ""


def _spelled(name: str, value: str) -> tuple[str, str]:
    """As libpq writes it."""
    return ("sslmode", _ASYNCPG_SSL.get(value, value)) if name == "ssl" else (name, value)


def _unreadable() -> SettingsError:
    return SettingsError(f"a PostgreSQL URL is {FORM}")
