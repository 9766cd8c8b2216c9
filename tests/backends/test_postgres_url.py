"""URLs of databases: every common spelling is read, and nothing of a password is ever shown."""

from __future__ import annotations

import pytest
from psycopg.conninfo import conninfo_to_dict

from session_store import (
    Settings,
    SettingsError,
)
from session_store.backends import storage_of
from session_store.backends.sql.postgresql.url import SCHEMES, PostgresUrl

NOWHERE = "127.0.0.1:1/db"

READ = {
    **{f"{scheme}://u:secret@{NOWHERE}": NOWHERE for scheme in sorted(SCHEMES)},
    f"POSTGRESQL://u:secret@{NOWHERE}": NOWHERE,
    f"postgresql://u:sec%40ret@{NOWHERE}": NOWHERE,
    f"postgresql://u:%3A%2F%3F%23secret@{NOWHERE}": NOWHERE,
    f"postgresql://u@{NOWHERE}?password=secret": NOWHERE,
    f"postgresql://{NOWHERE}?user=u&password=secret": NOWHERE,
    f"postgresql://u:p@{NOWHERE}?sslpassword=secret": NOWHERE,
    f"postgresql://u:secret@{NOWHERE}?sslmode=disable&application_name=mine": NOWHERE,
    f"postgresql+asyncpg://u:secret@{NOWHERE}?ssl=disable&statement_cache_size=0": NOWHERE,
    "postgresql://u:secret@127.0.0.1:1,127.0.0.1:2/db": "127.0.0.1:1,127.0.0.1:2/db",
    "postgresql://u:secret@[::1]:1/db": "[::1]:1/db",
    "postgresql://u:secret@127.0.0.1:1": "127.0.0.1:1",
    "postgresql:///db?host=/nowhere&password=secret": "/db",
}
"""What can be read, and what is shown of it."""


@pytest.mark.parametrize("url", READ)
def test_a_url_is_read_and_shown_without_user_and_parameters(url: str) -> None:
    assert storage_of(url).path == f"postgresql://{READ[url]}"


def test_the_driver_gets_all_of_it() -> None:
    url = (
        "postgresql+asyncpg://u:p%40w@h:5433/d%20b?ssl=true&command_timeout=5&application_name=a b"
    )
    read = conninfo_to_dict(PostgresUrl(url).conninfo)
    wanted = {"user": "u", "password": "p@w", "host": "h", "port": "5433", "dbname": "d b"}
    assert read == {**wanted, "sslmode": "require", "application_name": "a b"}


def test_urls_are_equal_when_they_name_the_same() -> None:
    one, other = PostgresUrl("postgres://u:p@h/d"), PostgresUrl("postgresql+psycopg://u:p@h/d")
    assert (one, hash(one)) == (other, hash(other))
    assert one != PostgresUrl("postgres://u:q@h/d")


class TestSettings:
    def test_the_type_alone_takes_the_hosts_database_url(self) -> None:
        environ = {"SESSION_STORAGE_TYPE": "postgresql", "DATABASE_URL": "postgres://u:p@h/theirs"}
        assert Settings.load(None, environ).storage.path == "postgresql://h/theirs"
        ours = environ | {"SESSION_STORAGE_URL": "postgres://u:p@h/ours"}
        assert Settings.load(None, ours).storage.path == "postgresql://h/ours"

    def test_the_hosts_database_url_is_not_taken_unasked(self) -> None:
        assert Settings.load(None, {"DATABASE_URL": "postgres://u:p@h/d"}).storage.type == "file"

    @pytest.mark.parametrize("url", ["", "sqlite:///x.db", "mysql://u:secret@h/d", "h/d"])
    def test_the_type_does_not_become_another_one(self, url: str) -> None:
        environ = {"SESSION_STORAGE_TYPE": "postgresql", "DATABASE_URL": url}
        with pytest.raises(SettingsError, match="SESSION_STORAGE_URL") as raised:
            Settings.load(None, environ)
        assert "secret" not in str(raised.value)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("POSTGRES_SCHEMA", 'a"b'),
            ("POSTGRES_SCHEMA", "A"),
            ("POSTGRES_SCHEMA", "1a"),
            ("POSTGRES_SCHEMA", "a.b"),
            ("POSTGRES_SCHEMA", "a" * 64),
            ("POSTGRES_TABLE_PREFIX", "a-"),
            ("POSTGRES_TABLE_PREFIX", "a" * 21),
            ("POSTGRES_TIMEOUT_SECONDS", "0"),
            ("POSTGRES_POOLER", "maybe"),
            ("POOL_SIZE", "0"),
        ],
    )
    def test_what_cannot_be_used_is_named(self, name: str, value: str) -> None:
        with pytest.raises(SettingsError, match=f"SESSION_{name}"):
            Settings.load(None, {f"SESSION_{name}": value})
