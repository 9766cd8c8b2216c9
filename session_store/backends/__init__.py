"""The one map from a URL, a path or a storage type to a back end, which is imported when used."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import unquote

from session_store.backends.sql.postgresql.url import SCHEMES, PostgresUrl
from session_store.errors import SettingsError

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from session_store.repository import SessionRepository

FORMS: Final = (
    "memory://, file:///absolute/directory, sqlite:///relative.db, sqlite:////absolute.db, "
    "postgresql://user:password@host:5432/database, "
    "or a path: one that ends in .db is an SQLite file, any other a directory for sessions.json"
)

NO_DRIVER: Final = 'PostgreSQL needs its driver: pip install "session-store[postgres]"'

_ALMOST_URLS: Final = (":memory:", "memory:", "file:", "sqlite:", "postgres:", "postgresql:")
"""What would otherwise become a directory of that name."""


class Storage(NamedTuple):
    """Where a store lies: its type (``memory``, ``file``, ``sqlite``, ``postgresql``), and its path
    as statistics show it. A database server's has its ``url`` too, whose password never shows."""

    type: str
    path: str | None
    url: PostgresUrl | None = None


def open_repository(place: str | os.PathLike[str] | Engine, **options: Any) -> SessionRepository:
    """Open the store of a URL or path, or in the database of your own SQLAlchemy ``Engine``.

    ``options`` are those of its back end. ``SettingsError`` lists the forms;
    ``StoreUnavailableError``, ``CorruptStoreError`` and ``SchemaError`` say what is wrong with the
    store.
    """
    if isinstance(place, str | os.PathLike):
        return open_storage(storage_of(place), **options)
    _need_driver()
    from session_store.backends.sql.postgresql.engine import open_engine

    return open_engine(place, **options)


def storage_of(url_or_path: str | os.PathLike[str]) -> Storage:
    """What a URL or path means. ``SettingsError`` lists the forms."""
    text = os.fspath(url_or_path)
    scheme, separator, _ = text.partition("://")
    if separator:
        return _from_url(scheme.lower(), text)
    if not text or text.startswith(_ALMOST_URLS):
        raise SettingsError(f"{text.partition(':')[0]!r} is no store; use {FORMS}")
    return Storage("sqlite" if text.endswith(".db") else "file", text)


def storage_at(type_: str, path: str | os.PathLike[str]) -> Storage:
    """A store by its type and path; for ``postgresql`` the path is its URL."""
    if type_ not in _OPENERS:
        raise SettingsError(f"no storage type {type_!r}; use {', '.join(_OPENERS)}")
    text = os.fspath(path)
    return _postgresql(text) if type_ == "postgresql" else Storage(type_, text)


def open_storage(storage: Storage, **options: Any) -> SessionRepository:
    """Open a store; ``options`` are those of its back end."""
    return _OPENERS[storage.type](storage, **options)


def sqlite_file(path: str | os.PathLike[str]) -> Path:
    """The file of an SQLite storage path: itself when it ends in .db, else sessions.db in it."""
    return Path(path) if os.fspath(path).endswith(".db") else Path(path, "sessions.db")


def _from_url(scheme: str, url: str) -> Storage:
    rest = url.partition("://")[2]
    if scheme in SCHEMES:
        return _postgresql(url)
    if scheme == "memory" and not rest:
        return Storage("memory", None)
    if scheme in ("sqlite", "sqlite+pysqlite") and len(rest) > 1 and rest[0] == "/":
        return Storage("sqlite", _plain(rest[1:]))
    path = rest.removeprefix("localhost")
    if scheme == "file" and len(path) > 1 and path[0] == "/":
        return Storage("file", unquote(_plain(path)))
    raise SettingsError(f"no store is at a URL of this form ({scheme}://…); use {FORMS}")


def _postgresql(url: str) -> Storage:
    parsed = PostgresUrl(url)
    return Storage("postgresql", parsed.shown, parsed)


def _plain(path: str) -> str:
    if path == ":memory:":
        raise SettingsError(f"SQLite in memory is gone with its connection; use {FORMS}")
    if "?" in path or "#" in path:
        raise SettingsError(
            "a store's URL takes no ?parameters; give them as arguments or settings"
        )
    return path


def _open_memory(_: Storage, **options: Any) -> SessionRepository:
    from session_store.backends.memory import MemoryRepository

    return MemoryRepository(**options)


def _open_file(storage: Storage, **options: Any) -> SessionRepository:
    from session_store.backends.json_file.repository import JsonFileRepository

    return JsonFileRepository(_required(storage.path), **options)


def _open_sqlite(storage: Storage, **options: Any) -> SessionRepository:
    from session_store.backends.sql.sqlite.store import open_sqlite

    return open_sqlite(sqlite_file(_required(storage.path)), **options)


def _open_postgresql(storage: Storage, **options: Any) -> SessionRepository:
    if storage.url is None:
        raise SettingsError(f"PostgreSQL needs a URL: {FORMS}")
    _need_driver()
    from session_store.backends.sql.postgresql.store import open_postgres

    return open_postgres(storage.url, **options)


def _need_driver() -> None:
    """``SettingsError`` says what to install."""
    try:
        import psycopg  # noqa: F401 - looked for here, so that the error can say what is missing
    except ImportError:
        raise SettingsError(NO_DRIVER) from None


def _required(path: str | None) -> str:
    if not path or path == ":memory:" or "\0" in path:
        raise SettingsError("this storage type needs a path: SESSION_STORAGE_PATH=./data/sessions")
    return path


_OPENERS: Final[dict[str, Callable[..., SessionRepository]]] = {
    "memory": _open_memory,
    "file": _open_file,
    "sqlite": _open_sqlite,
    "postgresql": _open_postgresql,
}
