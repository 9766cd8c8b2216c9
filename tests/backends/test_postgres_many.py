"""Many sessions at once on PostgreSQL: in few round trips, and where row-level security is on."""

from __future__ import annotations

import psycopg

from session_store.backends.sql.postgresql.store import open_postgres
from session_store.backends.sql.repository import SqlRepository
from session_store.core.operations import Put
from session_store.session import SessionKey
from session_store.testing.given import KEY, at
from session_store.testing.moving import putting
from tests.servers.postgres import PostgresServer
from tests.servers.stores import PostgresStore


def puts(app_name: str, count: int) -> list[Put]:
    keys = [SessionKey(app_name, "ada", f"{number:04}") for number in range(count)]
    return [putting(key, history=["a", "b\t\\N\n", None]) for key in keys]


def test_hundreds_are_stored_read_and_listed_as_they_were_given(store: SqlRepository) -> None:
    given = puts("app", 300)
    store.commit(given)
    found = store.fetch_many([put.key for put in given])
    assert {key: (record, tuple(entries)) for key, (record, entries) in found.items()} == {
        put.key: (put.record, put.entries) for put in given
    }
    assert [stamp.key for stamp in store.scan(None, 1000)] == [put.key for put in given]


def test_hundreds_are_stored_where_row_level_security_refuses_copy(
    own_postgres_server: PostgresServer, postgres_store: PostgresStore, url: str
) -> None:
    role = "session_store_test_writer"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role}")
        try:
            connection.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}")
            connection.execute("CREATE POLICY own ON sessions USING (app_name = current_user)")
            connection.execute("ALTER TABLE sessions ENABLE ROW LEVEL SECURITY")
            with open_postgres(f"{url}?options=-c%20role%3D{role}") as tenant:
                tenant.commit(puts(role, 30))
                assert len(tenant.scan(None, 100)) == 30
        finally:
            connection.execute("ALTER TABLE sessions DISABLE ROW LEVEL SECURITY")
            connection.execute("DROP POLICY IF EXISTS own ON sessions")
            connection.execute(f"DROP OWNED BY {role}")
            connection.execute(f"DROP ROLE {role}")
    with open_postgres(url) as owner:
        assert owner.stats(at()).total_sessions == 30
        assert owner.fetch_many([KEY._replace(app_name=role, session_id="0007")]).popitem()[1][1]
