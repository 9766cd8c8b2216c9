"""How many sessions there are, and how many run, is kept by the database

Triggers on sessions keep it; session_store/backends/sql/counts_ddl.py has the reasons. On SQLite a
later revision that alters sessions in a batch makes the table anew, and has to make them again.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from session_store.backends.sql.revising import of, on_sqlite, own, schema

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

COUNT = """INSERT INTO {counts} (total, running)
SELECT count(*), count(*) FILTER (WHERE status = 'running') FROM {sessions}"""

SQLITE_TRIGGERS = {
    "insert": """AFTER INSERT ON {sessions}
BEGIN
    UPDATE {counts} SET total = total + 1, running = running + (new.status = 'running');
END""",
    "delete": """AFTER DELETE ON {sessions}
BEGIN
    UPDATE {counts} SET total = total - 1, running = running - (old.status = 'running');
END""",
    "status": """AFTER UPDATE OF status ON {sessions}
WHEN (old.status = 'running') <> (new.status = 'running')
BEGIN
    UPDATE {counts} SET running = running + (new.status = 'running') * 2 - 1;
END""",
}

FUNCTION = """DO $do$ BEGIN EXECUTE replace($function$
CREATE FUNCTION <schema>.{own_keep}() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    more bigint := 0;
    starts bigint := 0;
    change bigint;
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        DELETE FROM <schema>.{own_counts};
    ELSIF TG_OP = 'UPDATE' THEN
        starts := CASE WHEN NEW.status = 'running' THEN 1 ELSE -1 END;
    ELSE
        SELECT count(*), count(*) FILTER (WHERE status = 'running') INTO more, starts FROM changed;
        IF more = 0 THEN
            RETURN NULL;
        ELSIF TG_OP = 'DELETE' THEN
            more := -more;
            starts := -starts;
        END IF;
    END IF;
    INSERT INTO <schema>.{own_counts} (total, running) VALUES (more, starts)
        RETURNING id INTO change;
    IF mod(change, 1000) = 0 AND current_setting('transaction_isolation') = 'read committed' THEN
        WITH found AS MATERIALIZED (
            SELECT id FROM <schema>.{own_counts} FOR UPDATE SKIP LOCKED
        ), gone AS (
            DELETE FROM <schema>.{own_counts} WHERE id IN (SELECT id FROM found)
            RETURNING total, running
        )
        INSERT INTO <schema>.{own_counts} (total, running)
            SELECT sum(total), sum(running) FROM gone;
    END IF;
    RETURN NULL;
END $body$
$function$, '<schema>', (SELECT relnamespace::regnamespace::text FROM pg_class
                         WHERE oid = '{counts}'::regclass)); END $do$"""

TRIGGERS = {
    "insert": """AFTER INSERT ON {sessions}
REFERENCING NEW TABLE AS changed FOR EACH STATEMENT""",
    "delete": """AFTER DELETE ON {sessions}
REFERENCING OLD TABLE AS changed FOR EACH STATEMENT""",
    "status": """AFTER UPDATE ON {sessions} FOR EACH ROW
WHEN ((OLD.status = 'running') <> (NEW.status = 'running'))""",
    "truncate": """AFTER TRUNCATE ON {sessions}
FOR EACH STATEMENT""",
}

COMMENT = "COMMENT ON FUNCTION {keep}() IS 'Keeps session_counts: by triggers on sessions'"
REVOKE = "REVOKE ALL ON FUNCTION {keep}() FROM PUBLIC"

# Who may read sessions may ask how many there are.
GRANT = """DO $$ DECLARE role text; BEGIN
    FOR role IN
        SELECT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END
        FROM pg_class, aclexplode(coalesce(relacl, acldefault('r', relowner)))
        WHERE oid = '{sessions}'::regclass AND privilege_type = 'SELECT'
          AND grantee <> quote_ident(current_user)::regrole
    LOOP
        EXECUTE 'GRANT SELECT ON {counts} TO ' || role;
    END LOOP;
END $$"""

# What would make the count wrong is an error: rows that a policy hides, and a transaction that may
# not see what was written up to the lock of the first trigger, unless it has made the table.
CHECK = """DO $$ BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' AND NOT EXISTS (
        SELECT FROM pg_class WHERE oid = '{sessions}'::regclass AND xmin = pg_current_xact_id()::xid
    ) THEN
        RAISE EXCEPTION 'run this revision in a transaction at READ COMMITTED';
    ELSIF row_security_active('{sessions}') THEN
        RAISE EXCEPTION 'run this revision as a role that sees all sessions';
    END IF;
END $$"""


def upgrade() -> None:
    op.create_table(
        own("session_counts"),
        sa.Column(
            "id",
            ROW_ID,
            sa.Identity(),
            nullable=False,
            comment="Number of the row, used by its triggers only",
        ),
        sa.Column(
            "total",
            sa.BigInteger(),
            nullable=False,
            comment="Sessions written less sessions removed: the sum is how many there are",
        ),
        sa.Column(
            "running",
            sa.BigInteger(),
            nullable=False,
            comment="The same of running ones: the sum is how many of them run",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f(own("pk_session_counts"))),
        comment="How many sessions there are, in parts; kept by triggers on sessions",
        schema=schema(),
    )
    # On PostgreSQL those who write wait from the first trigger to the end, those who read do not.
    prepared = () if on_sqlite() else (FUNCTION, COMMENT, REVOKE, GRANT, CHECK)
    _execute(*prepared, *map(_create_trigger, _triggers()), COUNT)


def downgrade() -> None:
    table = "" if on_sqlite() else " ON {sessions}"
    _execute(*(f"DROP TRIGGER {_name(event)}{table}" for event in _triggers()))
    if not on_sqlite():
        _execute("DROP FUNCTION {keep}()")
    op.drop_table(own("session_counts"), schema=schema())


def _triggers() -> dict[str, str]:
    return SQLITE_TRIGGERS if on_sqlite() else TRIGGERS


def _name(event: str) -> str:
    return own(f"session_counts_{event}")


def _create_trigger(event: str) -> str:
    then = "" if on_sqlite() else "\nEXECUTE FUNCTION {keep}()"
    return f"CREATE TRIGGER {_name(event)} {_triggers()[event]}{then}"


def _execute(*statements: str) -> None:
    names = {
        "sessions": of("sessions"),
        "counts": of("session_counts"),
        "keep": of("session_counts_keep"),
        "own_counts": own("session_counts"),
        "own_keep": own("session_counts_keep"),
    }
    for statement in statements:
        op.execute(statement.format(**names))
