"""What belongs to the tables and SQLAlchemy has no words for: the view, how PostgreSQL stores and
vacuums them, comments on indexes, and what keeps SQLite's rows from mixing. Alembic compares none
of it; tests do, with what revisions make.
"""

# ruff: noqa: S608 - only names of ours are put into a text

from __future__ import annotations

from sqlalchemy import DDL, Constraint, Index, MetaData, event

from session_store.backends.sql import counts_ddl
from session_store.backends.sql.names import Names

VIEW = """CREATE VIEW {session_overview} AS
SELECT app_name, user_id, session_id, status, version, last_seq,
       created_at, updated_at, completed_at, expires_at
FROM {sessions}"""

VIEW_COMMENT = "Sessions without their documents and history, for people who look"

# A view runs with its owner's rights, past row-level security, unless it is told not to.
SECURE_VIEW = """DO $$ BEGIN
    IF current_setting('server_version_num')::int >= 150000 THEN
        ALTER VIEW {session_overview} SET (security_invoker = true);
    END IF;
END $$"""

# Before a fifth or a tenth of a large table have changed: after 40,000 touches of 100,000 sessions
# the indexes had grown 1.07 times instead of 1.11, for three times the work of vacuuming.
_VACUUM = "autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05"

# An entry of 8 KB is written in 0.36 of the time that PostgreSQL's own compression takes, and is
# 12 % larger; not every server is built with it.
_COMPRESSION = """DO $$ BEGIN
    IF 'lz4' = ANY ((SELECT enumvals FROM pg_settings
                     WHERE name = 'default_toast_compression')::text[]) THEN
        ALTER TABLE {sessions}
            ALTER metadata SET COMPRESSION lz4,
            ALTER state SET COMPRESSION lz4,
            ALTER agent_states SET COMPRESSION lz4;
        ALTER TABLE {session_entries} ALTER payload SET COMPRESSION lz4;
        ALTER TABLE {shared_states} ALTER document SET COMPRESSION lz4;
    END IF;
END $$"""

STORAGE = (
    f"ALTER TABLE {{sessions}} SET ({_VACUUM})",
    f"ALTER TABLE {{session_entries}} SET ({_VACUUM}, autovacuum_vacuum_insert_scale_factor = 0.1)",
    _COMPRESSION,
)

_ENTRY = ("session", "seq", "entry_id", "kind", "version", "created_at", "payload")
_AS_JSON = ", ".join(
    f"'{name}', CASE typeof({name}) WHEN 'blob' THEN hex({name}) ELSE {name} END" for name in _ENTRY
)

# Whatever the pragma foreign_keys of the connection: the shell and plain engines have it off. An
# entry that stands where a new session's go is another one's, and is kept aside.
SQLITE_ROWS = (
    """CREATE TRIGGER {own:session_entries_delete} AFTER DELETE ON {sessions}
BEGIN
    DELETE FROM {session_entries} WHERE session = old.id;
END""",
    f"""CREATE TRIGGER {{own:session_entries_insert}} AFTER INSERT ON {{sessions}}
WHEN EXISTS (SELECT 1 FROM {{session_entries}} WHERE session = new.id)
BEGIN
    INSERT INTO {{session_quarantine}} (table_name, reason, found_at, content)
    SELECT '{{own:session_entries}}', 'orphan', strftime('%Y-%m-%dT%H:%M:%f000Z', 'now'),
           json_object({_AS_JSON})
    FROM {{session_entries}} WHERE session = new.id;
    DELETE FROM {{session_entries}} WHERE session = new.id;
END""",
    """CREATE TRIGGER {own:session_entries_update} BEFORE UPDATE OF id ON {sessions}
WHEN old.id <> new.id
BEGIN
    SELECT RAISE(ABORT, 'a session keeps its number: its entries refer to it');
END""",
)


def purposes(metadata: MetaData) -> dict[str, str]:
    """What each index is for, by its name; those of primary keys need no word."""
    indexes: list[Index | Constraint] = []
    for table in metadata.sorted_tables:
        indexes += [*table.indexes, *table.constraints]
    found = {str(each.name): each.info.get("purpose") for each in indexes}
    return {name: purpose for name, purpose in sorted(found.items()) if purpose}


def add_to(metadata: MetaData, names: Names) -> None:
    """Let it be made and dropped with the tables."""
    comments = {
        "VIEW {session_overview}": VIEW_COMMENT,
        counts_ddl.FUNCTION: counts_ddl.PURPOSE,
    } | {f"INDEX {names.qualified(name)}": text for name, text in purposes(metadata).items()}
    texts = [f"COMMENT ON {what} IS '{text}'" for what, text in comments.items()]
    made = {
        "postgresql": (SECURE_VIEW, *STORAGE, *counts_ddl.POSTGRESQL, *texts),
        "sqlite": (*SQLITE_ROWS, *counts_ddl.SQLITE),
    }
    event.listen(metadata, "after_create", _ddl(VIEW, names))
    for dialect, statements in made.items():
        for text in statements:
            event.listen(metadata, "after_create", _ddl(text, names).execute_if(dialect=dialect))
    event.listen(metadata, "before_drop", _ddl("DROP VIEW IF EXISTS {session_overview}", names))
    drop = _ddl(f"DROP {counts_ddl.FUNCTION}", names)
    event.listen(metadata, "after_drop", drop.execute_if(dialect="postgresql"))


def _ddl(text: str, names: Names) -> DDL:
    """``DDL`` puts its own values where a % is."""
    placed = names.placed(text).replace("%", "%%")
    return DDL(placed)  # type: ignore[no-untyped-call]
