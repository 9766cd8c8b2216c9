"""Rows that cannot mix: the number of a session never comes again, and times are times

On SQLite sessions is made anew, with AUTOINCREMENT, and whatever a host has added to it. Entries
of no session, and rows whose times can't be right, are set aside in session_quarantine. Our
triggers are made last: DROP TABLE drops them. Those who write wait meanwhile, on PostgreSQL too;
those who read do not, but on PostgreSQL for the constraints at the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import sqlalchemy as sa
from alembic import context, op
from sqlalchemy.dialects import postgresql

from session_store.backends.sql.revising import of, on_sqlite, own, schema, tell_set_aside
from session_store.backends.sql.sqlite.additions import NONE, Additions, Ours, additions
from session_store.errors import SchemaError

revision: str = "0006"
down_revision: str | None = "0005"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TIME = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")
JSON = sa.Text().with_variant(postgresql.JSON(), "postgresql")

REQUIRED, OPTIONAL = ("created_at", "updated_at"), ("completed_at", "expires_at")
TIMES = (*REQUIRED, *OPTIONAL)
SESSION = (
    *("id", "app_name", "user_id", "session_id", "status", "version", "last_seq"),
    *TIMES,
    *("metadata", "state", "agent_states"),
)
ENTRY = ("session", "seq", "entry_id", "kind", "version", "created_at", "payload")

ID_COMMENT = "Surrogate key, which no other session ever gets: for foreign keys to it"
ID_COMMENT_BEFORE = "Surrogate key, used by session_entries only"

# PostgreSQL ---------------------------------------------------------------------------------------

WITHIN = "BETWEEN '0001-01-01 00:00:00+00' AND '9999-12-31 23:59:59.999999+00'"
# One for all four: each constraint more takes 5 us of every UPDATE.
TIMES_CHECK = (
    f"least({', '.join(TIMES)}) >= '0001-01-01 00:00:00+00' AND "
    f"greatest({', '.join(TIMES)}) <= '9999-12-31 23:59:59.999999+00'"
)
BEYOND = " OR ".join(f"s.{name} NOT {WITHIN}" for name in TIMES)

# Each reads the whole table, which is nothing beside what a writer waits for anyway.
POSTGRESQL_ASIDE = (
    f"""INSERT INTO {{quarantine}} (table_name, reason, found_at, content)
SELECT '{{own_sessions}}', 'time', now(), row_to_json(s) FROM {{sessions}} s WHERE {BEYOND}""",
    f"""INSERT INTO {{quarantine}} (table_name, reason, found_at, content)
SELECT '{{own_entries}}', 'time', now(), row_to_json(e)
FROM {{entries}} e JOIN {{sessions}} s ON s.id = e.session WHERE {BEYOND}""",
    f"DELETE FROM {{sessions}} s WHERE {BEYOND}",
)

KEEPS_ROWS = """DO $$ BEGIN
    IF EXISTS (SELECT FROM {quarantine}) THEN
        RAISE EXCEPTION 'session_quarantine holds rows: put them back or remove them first';
    END IF;
END $$"""

# SQLite -------------------------------------------------------------------------------------------

NEXT = "sessions_next"

TABLE = """CREATE TABLE {next} (
    id INTEGER NOT NULL{key},
    app_name VARCHAR(255) NOT NULL,
    user_id VARCHAR(255) NOT NULL,
    session_id VARCHAR(255) NOT NULL,
    status VARCHAR(16) NOT NULL,
    version BIGINT NOT NULL,
    last_seq BIGINT NOT NULL,
    created_at VARCHAR(27) NOT NULL,
    updated_at VARCHAR(27) NOT NULL,
    completed_at VARCHAR(27),
    expires_at VARCHAR(27),
    metadata TEXT NOT NULL,
    state TEXT NOT NULL,
    agent_states TEXT NOT NULL, {more}
)"""
AUTOINCREMENT = " PRIMARY KEY AUTOINCREMENT"
PRIMARY_KEY = "CONSTRAINT {p}pk_sessions PRIMARY KEY (id)"
CONSTRAINTS = (
    "CONSTRAINT {p}uq_sessions_key UNIQUE (app_name, session_id, user_id)",
    "CONSTRAINT {p}ck_sessions_status "
    "CHECK (status IN ('created', 'running', 'paused', 'completed', 'failed'))",
    "CONSTRAINT {p}ck_sessions_version CHECK (version >= 0)",
    "CONSTRAINT {p}ck_sessions_last_seq CHECK (last_seq >= 0)",
)
TWO = "[0-9]" * 2
STORED = f"{TWO * 2}-{TWO}-{TWO}T{TWO}:{TWO}:{TWO}.{TWO * 3}Z"
IS_STORED = f"typeof({{0}}) = 'text' AND {{0}} GLOB '{STORED}'"
OR_NONE = f"{{0}} IS NULL OR {IS_STORED}"
CHECKS = {name: IS_STORED.format(name) for name in REQUIRED} | {
    name: OR_NONE.format(name) for name in OPTIONAL
}

INDEXES = {
    "created_at": "(created_at)",
    "updated_at": "(updated_at, status, expires_at, created_at, app_name)",
    "user": "(user_id, updated_at, app_name)",
    "expires_at": "(expires_at) WHERE expires_at IS NOT NULL",
}

VIEW = """CREATE VIEW {view} AS
SELECT app_name, user_id, session_id, status, version, last_seq,
       created_at, updated_at, completed_at, expires_at
FROM {sessions}"""

COUNT_TRIGGERS = {
    "session_counts_insert": """AFTER INSERT ON {sessions}
BEGIN
    UPDATE {counts} SET total = total + 1, running = running + (new.status = 'running');
END""",
    "session_counts_delete": """AFTER DELETE ON {sessions}
BEGIN
    UPDATE {counts} SET total = total - 1, running = running - (old.status = 'running');
END""",
    "session_counts_status": """AFTER UPDATE OF status ON {sessions}
WHEN (old.status = 'running') <> (new.status = 'running')
BEGIN
    UPDATE {counts} SET running = running + (new.status = 'running') * 2 - 1;
END""",
}
COUNT_AGAIN = (
    "DELETE FROM {counts}",
    """INSERT INTO {counts} (total, running)
SELECT count(*), count(*) FILTER (WHERE status = 'running') FROM {sessions}""",
)


def as_json(columns: Sequence[str]) -> str:
    """A row as it is; JSON has no bytes, so blobs are hexadecimal."""
    values = (
        f"'{bare(name)}', CASE typeof({name}) WHEN 'blob' THEN hex({name}) ELSE {name} END"
        for name in columns
    )
    return f"json_object({', '.join(values)})"


def bare(name: str) -> str:
    """What stands in the quotes of a name, for a text."""
    return name.strip('"').replace('""', '"').replace("'", "''")


NOW = "strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')"

ROW_TRIGGERS = {
    "session_entries_delete": """AFTER DELETE ON {sessions}
BEGIN
    DELETE FROM {entries} WHERE session = old.id;
END""",
    "session_entries_insert": f"""AFTER INSERT ON {{sessions}}
WHEN EXISTS (SELECT 1 FROM {{entries}} WHERE session = new.id)
BEGIN
    INSERT INTO {{quarantine}} (table_name, reason, found_at, content)
    SELECT '{{own_entries}}', 'orphan', {NOW},
           {as_json(ENTRY)}
    FROM {{entries}} WHERE session = new.id;
    DELETE FROM {{entries}} WHERE session = new.id;
END""",
    "session_entries_update": """BEFORE UPDATE OF id ON {sessions}
WHEN old.id <> new.id
BEGIN
    SELECT RAISE(ABORT, 'a session keeps its number: its entries refer to it');
END""",
}
TRIGGERS = COUNT_TRIGGERS | ROW_TRIGGERS

# Of no session, or left by another one of that number. By the sessions, and not by the entries, of
# which there are more: 300,000 sessions with six entries each take 0.4 s.
ORPHANS = (
    "CREATE TEMP TABLE session_orphans (number INTEGER PRIMARY KEY)",
    """INSERT OR IGNORE INTO temp.session_orphans SELECT rowid FROM {entries} WHERE session IN (
    SELECT DISTINCT session FROM {entries} EXCEPT SELECT id FROM {sessions})""",
    """INSERT OR IGNORE INTO temp.session_orphans SELECT e.rowid FROM {sessions} s
CROSS JOIN {entries} e ON e.session = s.id AND e.seq > s.last_seq""",
)
IS_ORPHAN = "rowid IN (SELECT number FROM temp.session_orphans)"

CANONICAL = "strftime('%Y-%m-%dT%H:%M:%f000Z', {0})"
IS_WRONG = {name: f"NOT ({check})" for name, check in CHECKS.items()}
# What begins with a date, or 'now' would be one, and '12' the 12th day of the Julian calendar.
IS_KNOWN = (
    f"typeof({{0}}) = 'text' AND {{0}} GLOB '{TWO * 2}-{TWO}-{TWO}*' "
    f"AND coalesce({CANONICAL} GLOB '{STORED}', false)"
)
GOES = " OR ".join(
    f"({wrong}) AND NOT ({IS_KNOWN.format(name)})" for name, wrong in IS_WRONG.items()
)
WRONG_TIMES = (
    "CREATE TEMP TABLE session_times (number INTEGER PRIMARY KEY, goes INTEGER)",
    f"""INSERT INTO temp.session_times SELECT id, {GOES} FROM {{sessions}}
WHERE {" OR ".join(IS_WRONG.values())}""",
)
HAS_WRONG_TIME = "id IN (SELECT number FROM temp.session_times)"
GONE = "(SELECT number FROM temp.session_times WHERE goes)"
CORRECTED = "UPDATE {sessions} SET " + ", ".join(
    f"{name} = CASE WHEN {wrong} THEN {CANONICAL.format(name)} ELSE {name} END"
    for name, wrong in IS_WRONG.items()
)

# Where sessions and entries have been: before any of them is set aside. A number beyond is none
# that SQLite gave; after the last there would be no next one.
LAST_NUMBER = """INSERT INTO sqlite_sequence (name, seq)
SELECT '{own_next}', max(coalesce((SELECT max(id) FROM {sessions}), 0),
    coalesce((SELECT session FROM {entries} WHERE session < 4611686018427387904
              ORDER BY session DESC LIMIT 1), 0))"""

FOREIGN_KEYS_ON = """SELECT 1 FROM pragma_foreign_keys
WHERE foreign_keys AND EXISTS (SELECT 1 FROM {sessions})"""
HOLDS_ROWS = "SELECT 1 FROM {quarantine} LIMIT 1"
ADDED = """SELECT 1 WHERE EXISTS (
    SELECT 1 FROM pragma_table_xinfo('{own_sessions}') WHERE name NOT IN ({columns}))
OR EXISTS (SELECT 1 FROM sqlite_master WHERE tbl_name IN ('{own_sessions}', '{own_view}')
           AND type IN ('index', 'trigger') AND sql IS NOT NULL AND name NOT IN ({made}))"""
# A CHECK that fails is the only way to end a script: its name is the message.
GUARD = (
    "CREATE TEMP TABLE session_guard (no INTEGER CONSTRAINT {name} CHECK (no IS NULL))",
    "INSERT INTO temp.session_guard {found}",
    "DROP TABLE temp.session_guard",
)


def upgrade() -> None:
    if on_sqlite():
        refuse_foreign_keys()
    op.create_table(
        own("session_quarantine"),
        sa.Column("id", ROW_ID, sa.Identity(), nullable=False, comment="Number of the row"),
        sa.Column(
            "table_name", sa.String(64), nullable=False, comment="Table that the row stood in"
        ),
        sa.Column(
            "reason",
            sa.String(64),
            nullable=False,
            comment="orphan: of no session; time: a wrong one",
        ),
        sa.Column("found_at", TIME, nullable=False, comment="When it was set aside, UTC"),
        sa.Column("content", JSON, nullable=False, comment="JSON object: the row, as it was"),
        sa.PrimaryKeyConstraint("id", name=op.f(own("pk_session_quarantine"))),
        comment="Rows that stood where they can't be right: kept aside, and never shown",
        schema=schema(),
    )
    if on_sqlite():
        rebuild(is_upgrade=True)
    else:
        upgrade_postgresql()
    if not context.is_offline_mode():
        tell_set_aside()


def downgrade() -> None:
    refuse_to_lose_rows()
    if on_sqlite():
        refuse_foreign_keys()
        rebuild(is_upgrade=False)
    else:
        op.drop_constraint(op.f(own("ck_sessions_times")), own("sessions"), schema=schema())
        execute(f"COMMENT ON COLUMN {{sessions}}.id IS '{ID_COMMENT_BEFORE}'")
    op.drop_table(own("session_quarantine"), schema=schema())


def upgrade_postgresql() -> None:
    execute("LOCK TABLE {sessions} IN EXCLUSIVE MODE", *POSTGRESQL_ASIDE)
    execute(f"COMMENT ON COLUMN {{sessions}}.id IS '{ID_COMMENT}'")
    execute(
        f"ALTER TABLE {{sessions}} ADD CONSTRAINT {own('ck_sessions_times')} CHECK ({TIMES_CHECK})"
    )


# Making sessions anew -----------------------------------------------------------------------------


def rebuild(*, is_upgrade: bool) -> None:
    theirs = added()
    execute(*(f"DROP TRIGGER IF EXISTS {own(name)}" for name in TRIGGERS))
    run(*(f"DROP TRIGGER {name}" for name in theirs.trigger_names))
    execute("DROP VIEW IF EXISTS {view}")
    run(create_table(theirs, is_upgrade=is_upgrade))
    if is_upgrade:
        execute(LAST_NUMBER)
        set_orphans_aside()
        set_wrong_times_aside(theirs)
    columns = ", ".join((*SESSION, *theirs.stored))
    run(f"INSERT INTO {own(NEXT)} ({columns}) SELECT {columns} FROM {own('sessions')}")
    execute("DROP TABLE {sessions}")
    rename()
    execute(*create_indexes(), VIEW)
    run(*theirs.indexes, *theirs.triggers)
    triggers = TRIGGERS if is_upgrade else COUNT_TRIGGERS
    made = (f"CREATE TRIGGER {own(name)} {does}" for name, does in triggers.items())
    execute(*COUNT_AGAIN, *made)


def create_table(theirs: Additions, *, is_upgrade: bool) -> str:
    """A text of a host's may end with a comment to the end of a line."""
    constraints = [text.format(p=own("")) for text in CONSTRAINTS]
    if is_upgrade:
        constraints += [
            f"CONSTRAINT {own(f'ck_sessions_{name}')} CHECK ({check})"
            for name, check in CHECKS.items()
        ]
    else:
        constraints.insert(0, PRIMARY_KEY.format(p=own("")))
    ends = (f"{text}\n" if "--" in text else text for text in theirs.columns + theirs.constraints)
    columns = [next(ends) for _ in theirs.columns]
    more = ",\n    ".join((*columns, *constraints, *ends))
    key = AUTOINCREMENT if is_upgrade else ""
    return TABLE.replace("{next}", own(NEXT)).replace("{key}", key).replace("{more}", more)


def create_indexes() -> Iterator[str]:
    for name, columns in INDEXES.items():
        yield f"CREATE INDEX {own(f'ix_sessions_{name}')} ON {{sessions}} {columns}"


def set_orphans_aside() -> None:
    execute(
        *ORPHANS,
        sets_aside("session_entries", "orphan", ENTRY, IS_ORPHAN),
        f"DELETE FROM {{entries}} WHERE {IS_ORPHAN}",
        "DROP TABLE temp.session_orphans",
    )


def set_wrong_times_aside(theirs: Additions) -> None:
    execute(*WRONG_TIMES)
    run(named(sets_aside("sessions", "time", (*SESSION, *theirs.stored), HAS_WRONG_TIME)))
    execute(
        sets_aside("session_entries", "time", ENTRY, f"session IN {GONE}"),
        f"DELETE FROM {{entries}} WHERE session IN {GONE}",
        f"DELETE FROM {{sessions}} WHERE id IN {GONE}",
        f"{CORRECTED} WHERE {HAS_WRONG_TIME}",
        "DROP TABLE temp.session_times",
    )


def sets_aside(table: str, reason: str, columns: Sequence[str], which: str) -> str:
    return (
        "INSERT INTO {quarantine} (table_name, reason, found_at, content)\n"
        f"SELECT '{own(table)}', '{reason}', {NOW}, {as_json(columns)}\n"
        f"FROM {own(table)} WHERE {which}"
    )


def rename() -> None:
    """By the old way, which does not look at views and triggers that mention sessions."""
    before = 0
    if not context.is_offline_mode():
        before = op.get_bind().exec_driver_sql("PRAGMA legacy_alter_table").scalar_one()
    execute(
        "PRAGMA legacy_alter_table = 1",
        "ALTER TABLE {next} RENAME TO {sessions}",
        f"PRAGMA legacy_alter_table = {before}",
    )


# What is looked at, or, in a script, guarded ------------------------------------------------------


def added() -> Additions:
    """What a host has added; a script, which can't keep it, ends there."""
    ours = Ours(
        columns=SESSION,
        constraints=[
            own(name)
            for name in (
                *("pk_sessions", "uq_sessions_key"),
                *(f"ck_sessions_{name}" for name in ("status", "version", "last_seq", *TIMES)),
            )
        ],
        indexes=[own(f"ix_sessions_{name}") for name in INDEXES],
        triggers=[own(name) for name in TRIGGERS],
    )
    if not context.is_offline_mode():
        return additions(op.get_bind(), own("sessions"), own("session_overview"), ours)
    columns, made = map(listed, (ours.columns, (*ours.indexes, *ours.triggers)))
    guard(
        "sessions_has_additions_so_run_session_store_db_upgrade", ADDED, columns=columns, made=made
    )
    return NONE


def listed(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def refuse_foreign_keys() -> None:
    """DROP TABLE would delete all entries, by the cascade, and the rows of a host."""
    if context.is_offline_mode():
        guard("turn_foreign_keys_off_first", FOREIGN_KEYS_ON)
    elif finds(FOREIGN_KEYS_ON):
        raise SchemaError(
            "PRAGMA foreign_keys is on, and with it making the table sessions anew would delete "
            "all entries: turn it off on this connection, before its transaction begins"
        )


def refuse_to_lose_rows() -> None:
    if not context.is_offline_mode():
        if finds(HOLDS_ROWS):
            raise SchemaError(
                f"{of('session_quarantine')} holds rows, which the downgrade would lose: put them "
                "back or remove them first; docs/dba.md says how"
            )
    elif on_sqlite():
        guard("session_quarantine_holds_rows", HOLDS_ROWS)
    else:
        execute(KEEPS_ROWS)


def guard(name: str, found: str, **more: str) -> None:
    for statement in GUARD:
        text = statement.replace("{name}", name).replace("{found}", found)
        for place, value in more.items():
            text = text.replace(f"{{{place}}}", value)
        execute(text)


def finds(query: str) -> bool:
    return op.get_bind().exec_driver_sql(named(query)).first() is not None


def execute(*statements: str) -> None:
    for statement in statements:
        op.execute(named(statement))


def run(*statements: str) -> None:
    """As they are: a host's text may hold what SQLAlchemy takes for a parameter."""
    for statement in statements:
        if context.is_offline_mode():
            op.execute(statement)
        else:
            op.get_bind().exec_driver_sql(statement)


def named(statement: str) -> str:
    names = {
        "sessions": of("sessions"),
        "entries": of("session_entries"),
        "counts": of("session_counts"),
        "quarantine": of("session_quarantine"),
        "view": of("session_overview"),
        "next": of(NEXT),
        "own_sessions": own("sessions"),
        "own_entries": own("session_entries"),
        "own_next": own(NEXT),
        "own_view": own("session_overview"),
    }
    for name, value in names.items():
        statement = statement.replace(f"{{{name}}}", value)
    return statement
