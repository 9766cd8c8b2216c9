"""What a URL holds that nobody may see."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from io import StringIO
from typing import Any, Final
from unittest.mock import patch

from session_store import PersistentSessionService, Settings, open_repository
from session_store.backends import storage_of
from session_store.backends.sql.postgresql import url as postgres_url
from session_store.backends.sql.postgresql.url import PostgresUrl
from session_store.errors import SessionStoreError
from tests.faults.frame import Outcomes, check
from tests.faults.place import Place

NOWHERE: Final = "127.0.0.1:1/db"

URLS: Final = (
    *(
        f"{scheme}://u:secret@{NOWHERE}"
        for scheme in (*sorted(postgres_url.SCHEMES), "POSTGRESQL", "postgresql+pg8000", "mysql")
    ),
    f"postgresql://u:sec%40ret@{NOWHERE}",
    f"postgresql://u:%3A%2F%3F%23secret@{NOWHERE}",
    f"postgresql://u@{NOWHERE}?password=secret",
    f"postgresql://{NOWHERE}?user=u&password=secret",
    f"postgresql://u:p@{NOWHERE}?sslpassword=secret",
    f"postgresql://u:p@{NOWHERE}?passfile=/nowhere/secret",
    f"postgresql://u:secret@{NOWHERE}?sslmode=disable&application_name=mine",
    f"postgresql+asyncpg://u:secret@{NOWHERE}?ssl=disable&statement_cache_size=0",
    "postgresql://u:secret@127.0.0.1:1,127.0.0.1:2/db",
    "postgresql://u:secret@[::1]:1/db",
    "postgresql://u:secret@127.0.0.1:1",
    "postgresql:///db?host=/nowhere&password=secret",
    f"postgresql://u:sec/secret@{NOWHERE}",
    f"postgresql://u:sec#secret@{NOWHERE}",
    f"postgresql://u:sec?secret@{NOWHERE}",
    f"postgresql://u:12?secret@{NOWHERE}",
    f"postgresql://u:sec@secret@{NOWHERE}",
    f"postgresql://u:sec%secret@{NOWHERE}",
    f"postgresql://u:secret\n@{NOWHERE}",
    "postgresql://u:secret",
    "postgresql://u:secret:5432/db",
    "postgresql://[secret/db",
    "postgresql://host/db/secret",
    "postgresql:u:secret@host/db",
    f"postgresql://u:p@{NOWHERE}?secret=1",
)
"""Those that can be read, and those that can't, most of which should have been percent-encoded."""


@contextmanager
def urls_show_themselves() -> Iterator[None]:
    """As far as SQLAlchemy's masking goes."""
    begin = PostgresUrl.__init__

    def begun(self: Any, url: str) -> None:
        begin(self, url)
        self.shown = url.replace(":secret@", ":***@")

    with patch.object(PostgresUrl, "__init__", begun):
        yield


@contextmanager
def errors_show_the_url() -> Iterator[None]:
    with patch.object(PostgresUrl, "__init__", _shown_when_refused):
        yield


def _shown_when_refused(self: Any, url: str) -> None:
    raise SessionStoreError(f"{url} is no URL of a PostgreSQL database")


@check(
    "C8",
    "no part of a URL that may be secret is in a str, repr, log, statistic or error",
    stores=["postgresql"],
    trials=(len(URLS), len(URLS)),
    broken=[urls_show_themselves, errors_show_the_url],
)
def passwords(place: Place, trials: int) -> Outcomes:
    for url in URLS:
        said = "\n".join(_said(url))
        yield f"{url} shows its secret in: {said}" if "secret" in said else None
    password = place.servers.postgres.password
    said = "\n".join(_said(place.url))
    yield "the statistics show the password" if password in said else None


def _said(url: str) -> list[str]:
    """All that is said of a store at this URL, and of the attempt to use it."""
    environ = {"SESSION_STORAGE_TYPE": "postgresql", "SESSION_STORAGE_URL": url}
    said: list[str] = []
    with logged() as log:
        for work in (
            lambda: storage_of(url),
            lambda: Settings.load(None, environ),
            lambda: Settings.load(None, environ).storage,
            partial(_statistics, url),
            partial(open_repository, url),
        ):
            try:
                found = work()
            except SessionStoreError as error:
                said += [f"{error!r}", f"{error}", f"{error.__cause__!r}", f"{_context(error)!r}"]
            else:
                said += [f"{found}", f"{found!r}"]
                getattr(found, "close", lambda: None)()
    return [*said, log.getvalue()]


def _context(error: BaseException) -> BaseException | None:
    return None if error.__suppress_context__ else error.__context__


def _statistics(url: str) -> dict[str, Any]:
    with PersistentSessionService(storage_url=url, cleanup_interval=None) as service:
        return service.get_storage_stats()


@contextmanager
def logged() -> Iterator[StringIO]:
    """Everything that is logged, by the drivers too."""
    text = StringIO()
    handler, root = logging.StreamHandler(text), logging.getLogger()
    level, disabled = root.level, logging.root.manager.disable
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    logging.disable(logging.NOTSET)
    try:
        yield text
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
        logging.disable(disabled)
