"""How the database keeps the numbers of ``session_counts``: triggers on ``sessions``, so that rows
which people or older releases write are counted too.

SQLite, with one writer at a time, has one row, and changes it. On PostgreSQL that row would be a
queue, and one of each connection a chain of dead versions: setting 50,000 sessions running by one
statement took 16 s instead of 0.6. So there each change is a row more, which nobody ever waits for
(1.1 s), and every thousandth puts into one row those that nobody else is at.
``benchmarks/session_counts.py`` has the figures.
"""

from __future__ import annotations

from typing import Final

COUNT: Final = """INSERT INTO {session_counts} (total, running)
SELECT count(*), count(*) FILTER (WHERE status = 'running') FROM {sessions}"""

# By UPDATE, not by an upsert: the conflict clause of whoever inserts a session would be its own.
SQLITE_TRIGGERS: Final = (
    """CREATE TRIGGER {own:session_counts_insert} AFTER INSERT ON {sessions}
BEGIN
    UPDATE {session_counts} SET total = total + 1, running = running + (new.status = 'running');
END""",
    """CREATE TRIGGER {own:session_counts_delete} AFTER DELETE ON {sessions}
BEGIN
    UPDATE {session_counts} SET total = total - 1, running = running - (old.status = 'running');
END""",
    """CREATE TRIGGER {own:session_counts_status} AFTER UPDATE OF status ON {sessions}
WHEN (old.status = 'running') <> (new.status = 'running')
BEGIN
    UPDATE {session_counts} SET running = running + (new.status = 'running') * 2 - 1;
END""",
)

# With its owner's rights: who may write sessions needs none on the counts, and can't write anything
# else there. The schema is in the text, and the path is fixed: it works whatever the path of the
# writer is, and finds nothing that somebody has put there. Above READ COMMITTED rows that others
# have put together would be an error, and so are left to the next; READ COMMITTED sees what was
# committed meanwhile.
CREATE_FUNCTION: Final = """DO $do$ BEGIN EXECUTE replace($function$
CREATE FUNCTION <schema>.{own:session_counts_keep}() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    more bigint := 0;
    starts bigint := 0;
    change bigint;
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        DELETE FROM <schema>.{own:session_counts};
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
    INSERT INTO <schema>.{own:session_counts} (total, running) VALUES (more, starts)
        RETURNING id INTO change;
    IF mod(change, 1000) = 0 AND current_setting('transaction_isolation') = 'read committed' THEN
        WITH found AS MATERIALIZED (
            SELECT id FROM <schema>.{own:session_counts} FOR UPDATE SKIP LOCKED
        ), gone AS (
            DELETE FROM <schema>.{own:session_counts} WHERE id IN (SELECT id FROM found)
            RETURNING total, running
        )
        INSERT INTO <schema>.{own:session_counts} (total, running)
            SELECT sum(total), sum(running) FROM gone;
    END IF;
    RETURN NULL;
END $body$
$function$, '<schema>', (SELECT relnamespace::regnamespace::text FROM pg_class
                         WHERE oid = '{session_counts}'::regclass)); END $do$"""

# A statement that makes or removes a thousand sessions is one change. Of updates only those that
# start or end running are, by row: with transition tables every turn would call the function.
TRIGGERS: Final = (
    """CREATE TRIGGER {own:session_counts_insert} AFTER INSERT ON {sessions}
REFERENCING NEW TABLE AS changed FOR EACH STATEMENT
EXECUTE FUNCTION {session_counts_keep}()""",
    """CREATE TRIGGER {own:session_counts_delete} AFTER DELETE ON {sessions}
REFERENCING OLD TABLE AS changed FOR EACH STATEMENT
EXECUTE FUNCTION {session_counts_keep}()""",
    """CREATE TRIGGER {own:session_counts_status} AFTER UPDATE ON {sessions} FOR EACH ROW
WHEN ((OLD.status = 'running') <> (NEW.status = 'running'))
EXECUTE FUNCTION {session_counts_keep}()""",
    """CREATE TRIGGER {own:session_counts_truncate} AFTER TRUNCATE ON {sessions}
FOR EACH STATEMENT
EXECUTE FUNCTION {session_counts_keep}()""",
)

FUNCTION: Final = "FUNCTION {session_counts_keep}()"
REVOKE: Final = f"REVOKE ALL ON {FUNCTION} FROM PUBLIC"
PURPOSE: Final = "Keeps session_counts: by triggers on sessions"

SQLITE: Final = (*SQLITE_TRIGGERS, COUNT)
POSTGRESQL: Final = (CREATE_FUNCTION, REVOKE, *TRIGGERS, COUNT)
