BEGIN;

CREATE TABLE session_store_alembic_version (
    version_num VARCHAR(32) NOT NULL, 
    CONSTRAINT session_store_alembic_version_pkc PRIMARY KEY (version_num)
);

-- Running upgrade  -> 0001

PRAGMA application_id = 1399149428;

CREATE TABLE sessions (
    id INTEGER NOT NULL, 
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
    agent_states TEXT NOT NULL, 
    CONSTRAINT pk_sessions PRIMARY KEY (id), 
    CONSTRAINT uq_sessions_key UNIQUE (app_name, session_id, user_id), 
    CONSTRAINT ck_sessions_status CHECK (status IN ('created', 'running', 'paused', 'completed', 'failed')), 
    CONSTRAINT ck_sessions_version CHECK (version >= 0), 
    CONSTRAINT ck_sessions_last_seq CHECK (last_seq >= 0)
);

CREATE INDEX ix_sessions_created_at ON sessions (created_at);

CREATE INDEX ix_sessions_updated_at ON sessions (updated_at, status, expires_at, created_at, app_name);

CREATE INDEX ix_sessions_user ON sessions (app_name, user_id, updated_at);

CREATE INDEX ix_sessions_expires_at ON sessions (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE session_entries (
    session INTEGER NOT NULL, 
    seq BIGINT NOT NULL, 
    entry_id VARCHAR(255) NOT NULL, 
    kind VARCHAR(64) NOT NULL, 
    version BIGINT NOT NULL, 
    created_at VARCHAR(27) NOT NULL, 
    payload TEXT NOT NULL, 
    CONSTRAINT pk_session_entries PRIMARY KEY (session, seq), 
    CONSTRAINT uq_session_entries_entry_id UNIQUE (session, entry_id), 
    CONSTRAINT ck_session_entries_seq CHECK (seq >= 1), 
    CONSTRAINT fk_session_entries_session_sessions FOREIGN KEY(session) REFERENCES sessions (id) ON DELETE CASCADE
);

CREATE TABLE shared_states (
    app_name VARCHAR(255) NOT NULL, 
    user_id VARCHAR(255) NOT NULL, 
    updated_at VARCHAR(27) NOT NULL, 
    document TEXT NOT NULL, 
    CONSTRAINT pk_shared_states PRIMARY KEY (app_name, user_id)
);

CREATE VIEW session_overview AS
SELECT app_name, user_id, session_id, status, version, last_seq,
       created_at, updated_at, completed_at, expires_at
FROM sessions;

INSERT INTO session_store_alembic_version (version_num) VALUES ('0001') RETURNING version_num;

-- Running upgrade 0001 -> 0002

UPDATE session_store_alembic_version SET version_num='0002' WHERE session_store_alembic_version.version_num = '0001';

-- Running upgrade 0002 -> 0003

DROP INDEX ix_sessions_user;

CREATE INDEX ix_sessions_user ON sessions (user_id, app_name, updated_at);

UPDATE session_store_alembic_version SET version_num='0003' WHERE session_store_alembic_version.version_num = '0002';

-- Running upgrade 0003 -> 0004

CREATE TABLE session_counts (
    id INTEGER NOT NULL, 
    total BIGINT NOT NULL, 
    running BIGINT NOT NULL, 
    CONSTRAINT pk_session_counts PRIMARY KEY (id)
);

CREATE TRIGGER session_counts_insert AFTER INSERT ON sessions
BEGIN
    UPDATE session_counts SET total = total + 1, running = running + (new.status = 'running');
END;

CREATE TRIGGER session_counts_delete AFTER DELETE ON sessions
BEGIN
    UPDATE session_counts SET total = total - 1, running = running - (old.status = 'running');
END;

CREATE TRIGGER session_counts_status AFTER UPDATE OF status ON sessions
WHEN (old.status = 'running') <> (new.status = 'running')
BEGIN
    UPDATE session_counts SET running = running + (new.status = 'running') * 2 - 1;
END;

INSERT INTO session_counts (total, running)
SELECT count(*), count(*) FILTER (WHERE status = 'running') FROM sessions;

UPDATE session_store_alembic_version SET version_num='0004' WHERE session_store_alembic_version.version_num = '0003';

-- Running upgrade 0004 -> 0005

DROP INDEX ix_sessions_user;

CREATE INDEX ix_sessions_user ON sessions (user_id, updated_at, app_name);

UPDATE session_store_alembic_version SET version_num='0005' WHERE session_store_alembic_version.version_num = '0004';

-- Running upgrade 0005 -> 0006

CREATE TEMP TABLE session_guard (no INTEGER CONSTRAINT turn_foreign_keys_off_first CHECK (no IS NULL));

INSERT INTO temp.session_guard SELECT 1 FROM pragma_foreign_keys
WHERE foreign_keys AND EXISTS (SELECT 1 FROM sessions);

DROP TABLE temp.session_guard;

CREATE TABLE session_quarantine (
    id INTEGER NOT NULL, 
    table_name VARCHAR(64) NOT NULL, 
    reason VARCHAR(64) NOT NULL, 
    found_at VARCHAR(27) NOT NULL, 
    content TEXT NOT NULL, 
    CONSTRAINT pk_session_quarantine PRIMARY KEY (id)
);

CREATE TEMP TABLE session_guard (no INTEGER CONSTRAINT sessions_has_additions_so_run_session_store_db_upgrade CHECK (no IS NULL));

INSERT INTO temp.session_guard SELECT 1 WHERE EXISTS (
    SELECT 1 FROM pragma_table_xinfo('sessions') WHERE name NOT IN ('id', 'app_name', 'user_id', 'session_id', 'status', 'version', 'last_seq', 'created_at', 'updated_at', 'completed_at', 'expires_at', 'metadata', 'state', 'agent_states'))
OR EXISTS (SELECT 1 FROM sqlite_master WHERE tbl_name IN ('sessions', 'session_overview')
           AND type IN ('index', 'trigger') AND sql IS NOT NULL AND name NOT IN ('ix_sessions_created_at', 'ix_sessions_updated_at', 'ix_sessions_user', 'ix_sessions_expires_at', 'session_counts_insert', 'session_counts_delete', 'session_counts_status', 'session_entries_delete', 'session_entries_insert', 'session_entries_update'));

DROP TABLE temp.session_guard;

DROP TRIGGER IF EXISTS session_counts_insert;

DROP TRIGGER IF EXISTS session_counts_delete;

DROP TRIGGER IF EXISTS session_counts_status;

DROP TRIGGER IF EXISTS session_entries_delete;

DROP TRIGGER IF EXISTS session_entries_insert;

DROP TRIGGER IF EXISTS session_entries_update;

DROP VIEW IF EXISTS session_overview;

CREATE TABLE sessions_next (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
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
    agent_states TEXT NOT NULL, CONSTRAINT uq_sessions_key UNIQUE (app_name, session_id, user_id),
    CONSTRAINT ck_sessions_status CHECK (status IN ('created', 'running', 'paused', 'completed', 'failed')),
    CONSTRAINT ck_sessions_version CHECK (version >= 0),
    CONSTRAINT ck_sessions_last_seq CHECK (last_seq >= 0),
    CONSTRAINT ck_sessions_created_at CHECK (typeof(created_at) = 'text' AND created_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T[0-9][0-9]:[0-9][0-9]:[0-9][0-9].[0-9][0-9][0-9][0-9][0-9][0-9]Z'),
    CONSTRAINT ck_sessions_updated_at CHECK (typeof(updated_at) = 'text' AND updated_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T[0-9][0-9]:[0-9][0-9]:[0-9][0-9].[0-9][0-9][0-9][0-9][0-9][0-9]Z'),
    CONSTRAINT ck_sessions_completed_at CHECK (completed_at IS NULL OR typeof(completed_at) = 'text' AND completed_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T[0-9][0-9]:[0-9][0-9]:[0-9][0-9].[0-9][0-9][0-9][0-9][0-9][0-9]Z'),
    CONSTRAINT ck_sessions_expires_at CHECK (expires_at IS NULL OR typeof(expires_at) = 'text' AND expires_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T[0-9][0-9]:[0-9][0-9]:[0-9][0-9].[0-9][0-9][0-9][0-9][0-9][0-9]Z')
);

INSERT INTO sqlite_sequence (name, seq)
SELECT 'sessions_next', max(coalesce((SELECT max(id) FROM sessions), 0),
    coalesce((SELECT session FROM session_entries WHERE session < 4611686018427387904
              ORDER BY session DESC LIMIT 1), 0));

CREATE TEMP TABLE session_orphans (number INTEGER PRIMARY KEY);

INSERT OR IGNORE INTO temp.session_orphans SELECT rowid FROM session_entries WHERE session IN (
    SELECT DISTINCT session FROM session_entries EXCEPT SELECT id FROM sessions);

INSERT OR IGNORE INTO temp.session_orphans SELECT e.rowid FROM sessions s
CROSS JOIN session_entries e ON e.session = s.id AND e.seq > s.last_seq;

INSERT INTO session_quarantine (table_name, reason, found_at, content)
SELECT 'session_entries', 'orphan', strftime('%Y-%m-%dT%H:%M:%f000Z', 'now'), json_object('session', CASE typeof(session) WHEN 'blob' THEN hex(session) ELSE session END, 'seq', CASE typeof(seq) WHEN 'blob' THEN hex(seq) ELSE seq END, 'entry_id', CASE typeof(entry_id) WHEN 'blob' THEN hex(entry_id) ELSE entry_id END, 'kind', CASE typeof(kind) WHEN 'blob' THEN hex(kind) ELSE kind END, 'version', CASE typeof(version) WHEN 'blob' THEN hex(version) ELSE version END, 'created_at', CASE typeof(created_at) WHEN 'blob' THEN hex(created_at) ELSE created_at END, 'payload', CASE typeof(payload) WHEN 'blob' THEN hex(payload) ELSE payload END)
FROM session_entries WHERE rowid IN (SELECT number FROM temp.session_orphans);

DELETE FROM session_entries WHERE rowid IN (SELECT number FROM temp.session_orphans);

DROP TABLE temp.session_orphans;

CREATE TEMP TABLE session_times (number INTEGER PRIMARY KEY, goes INTEGER);

INSERT INTO temp.session_times SELECT id, (NOT (typeof(created_at) = 'text' AND created_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T[0-9][0-9]:[0-9][0-9]:[0-9][0-9].[0-9][0-9][0-9][0-9][0-9][0-9]Z')) AND NOT (typeof(created_at) = 'text' AND created_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*' AND coalesce(strftime('%Y-%m-%dT%H:%M:%f000Z', created_at) GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T[0-9][0-9]:[0-9][0-9]:[0-9][0-9].[0-9][0-9][0-9][0-9][0-9][0-9]Z', false)) OR (NOT (typeof(updated_at) = 'text' AND updated_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T[0-9][0-9]:[0-9][0-9]:[0-9][0-9].[0-9][0-9][0-9][0-9][0-9][0-9]Z')) AND NOT (typeof(updated_at) = 'text' AND updated_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*' AND coalesce(strftime('%Y-%m-%dT%H:%M:%f000Z', updated_at) GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T[0-9][0-9]:[0-9][0-9]:[0-9][0-9].[0-9][0-9][0-9][0-9][0-9][0-9]Z', false)) OR (NOT (completed_at IS NULL OR typeof(completed_at) = 'text' AND completed_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T[0-9][0-9]:[0-9][0-9]:[0-9][0-9].[0-9][0-9][0-9][0-9][0-9][0-9]Z')) AND NOT (typeof(completed_at) = 'text' AND completed_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*' AND coalesce(strftime('%Y-%m-%dT%H:%M:%f000Z', completed_at) GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T[0-9][0-9]:[0-9][0-9]:[0-9][0-9].[0-9][0-9][0-9][0-9][0-9][0-9]Z', false)) OR (NOT (expires_at IS NULL OR typeof(expires_at) = 'text' AND expires_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T[0-9][0-9]:[0-9][0-9]:[0-9][0-9].[0-9][0-9][0-9][0-9][0-9][0-9]Z')) AND NOT (typeof(expires_at) = 'text' AND expires_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*' AND coalesce(strftime('%Y-%m-%dT%H:%M:%f000Z', expires_at) GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T[0-9][0-9]:[0-9][0-9]:[0-9][0-9].[0-9][0-9][0-9][0-9][0-9][0-9]Z', false)) FROM sessions
WHERE NOT (typeof(created_at) = 'text' AND created_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T[0-9][0-9]:[0-9][0-9]:[0-9][0-9].[0-9][0-9][0-9][0-9][0-9][0-9]Z') OR NOT (typeof(updated_at) = 'text' AND updated_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T[0-9][0-9]:[0-9][0-9]:[0-9][0-9].[0-9][0-9][0-9][0-9][0-9][0-9]Z') OR NOT (completed_at IS NULL OR typeof(completed_at) = 'text' AND completed_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T[0-9][0-9]:[0-9][0-9]:[0-9][0-9].[0-9][0-9][0-9][0-9][0-9][0-9]Z') OR NOT (expires_at IS NULL OR typeof(expires_at) = 'text' AND expires_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T[0-9][0-9]:[0-9][0-9]:[0-9][0-9].[0-9][0-9][0-9][0-9][0-9][0-9]Z');

INSERT INTO session_quarantine (table_name, reason, found_at, content)
SELECT 'sessions', 'time', strftime('%Y-%m-%dT%H:%M:%f000Z', 'now'), json_object('id', CASE typeof(id) WHEN 'blob' THEN hex(id) ELSE id END, 'app_name', CASE typeof(app_name) WHEN 'blob' THEN hex(app_name) ELSE app_name END, 'user_id', CASE typeof(user_id) WHEN 'blob' THEN hex(user_id) ELSE user_id END, 'session_id', CASE typeof(session_id) WHEN 'blob' THEN hex(session_id) ELSE session_id END, 'status', CASE typeof(status) WHEN 'blob' THEN hex(status) ELSE status END, 'version', CASE typeof(version) WHEN 'blob' THEN hex(version) ELSE version END, 'last_seq', CASE typeof(last_seq) WHEN 'blob' THEN hex(last_seq) ELSE last_seq END, 'created_at', CASE typeof(created_at) WHEN 'blob' THEN hex(created_at) ELSE created_at END, 'updated_at', CASE typeof(updated_at) WHEN 'blob' THEN hex(updated_at) ELSE updated_at END, 'completed_at', CASE typeof(completed_at) WHEN 'blob' THEN hex(completed_at) ELSE completed_at END, 'expires_at', CASE typeof(expires_at) WHEN 'blob' THEN hex(expires_at) ELSE expires_at END, 'metadata', CASE typeof(metadata) WHEN 'blob' THEN hex(metadata) ELSE metadata END, 'state', CASE typeof(state) WHEN 'blob' THEN hex(state) ELSE state END, 'agent_states', CASE typeof(agent_states) WHEN 'blob' THEN hex(agent_states) ELSE agent_states END)
FROM sessions WHERE id IN (SELECT number FROM temp.session_times);

INSERT INTO session_quarantine (table_name, reason, found_at, content)
SELECT 'session_entries', 'time', strftime('%Y-%m-%dT%H:%M:%f000Z', 'now'), json_object('session', CASE typeof(session) WHEN 'blob' THEN hex(session) ELSE session END, 'seq', CASE typeof(seq) WHEN 'blob' THEN hex(seq) ELSE seq END, 'entry_id', CASE typeof(entry_id) WHEN 'blob' THEN hex(entry_id) ELSE entry_id END, 'kind', CASE typeof(kind) WHEN 'blob' THEN hex(kind) ELSE kind END, 'version', CASE typeof(version) WHEN 'blob' THEN hex(version) ELSE version END, 'created_at', CASE typeof(created_at) WHEN 'blob' THEN hex(created_at) ELSE created_at END, 'payload', CASE typeof(payload) WHEN 'blob' THEN hex(payload) ELSE payload END)
FROM session_entries WHERE session IN (SELECT number FROM temp.session_times WHERE goes);

DELETE FROM session_entries WHERE session IN (SELECT number FROM temp.session_times WHERE goes);

DELETE FROM sessions WHERE id IN (SELECT number FROM temp.session_times WHERE goes);

UPDATE sessions SET created_at = CASE WHEN NOT (typeof(created_at) = 'text' AND created_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T[0-9][0-9]:[0-9][0-9]:[0-9][0-9].[0-9][0-9][0-9][0-9][0-9][0-9]Z') THEN strftime('%Y-%m-%dT%H:%M:%f000Z', created_at) ELSE created_at END, updated_at = CASE WHEN NOT (typeof(updated_at) = 'text' AND updated_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T[0-9][0-9]:[0-9][0-9]:[0-9][0-9].[0-9][0-9][0-9][0-9][0-9][0-9]Z') THEN strftime('%Y-%m-%dT%H:%M:%f000Z', updated_at) ELSE updated_at END, completed_at = CASE WHEN NOT (completed_at IS NULL OR typeof(completed_at) = 'text' AND completed_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T[0-9][0-9]:[0-9][0-9]:[0-9][0-9].[0-9][0-9][0-9][0-9][0-9][0-9]Z') THEN strftime('%Y-%m-%dT%H:%M:%f000Z', completed_at) ELSE completed_at END, expires_at = CASE WHEN NOT (expires_at IS NULL OR typeof(expires_at) = 'text' AND expires_at GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T[0-9][0-9]:[0-9][0-9]:[0-9][0-9].[0-9][0-9][0-9][0-9][0-9][0-9]Z') THEN strftime('%Y-%m-%dT%H:%M:%f000Z', expires_at) ELSE expires_at END WHERE id IN (SELECT number FROM temp.session_times);

DROP TABLE temp.session_times;

INSERT INTO sessions_next (id, app_name, user_id, session_id, status, version, last_seq, created_at, updated_at, completed_at, expires_at, metadata, state, agent_states) SELECT id, app_name, user_id, session_id, status, version, last_seq, created_at, updated_at, completed_at, expires_at, metadata, state, agent_states FROM sessions;

DROP TABLE sessions;

PRAGMA legacy_alter_table = 1;

ALTER TABLE sessions_next RENAME TO sessions;

PRAGMA legacy_alter_table = 0;

CREATE INDEX ix_sessions_created_at ON sessions (created_at);

CREATE INDEX ix_sessions_updated_at ON sessions (updated_at, status, expires_at, created_at, app_name);

CREATE INDEX ix_sessions_user ON sessions (user_id, updated_at, app_name);

CREATE INDEX ix_sessions_expires_at ON sessions (expires_at) WHERE expires_at IS NOT NULL;

CREATE VIEW session_overview AS
SELECT app_name, user_id, session_id, status, version, last_seq,
       created_at, updated_at, completed_at, expires_at
FROM sessions;

DELETE FROM session_counts;

INSERT INTO session_counts (total, running)
SELECT count(*), count(*) FILTER (WHERE status = 'running') FROM sessions;

CREATE TRIGGER session_counts_insert AFTER INSERT ON sessions
BEGIN
    UPDATE session_counts SET total = total + 1, running = running + (new.status = 'running');
END;

CREATE TRIGGER session_counts_delete AFTER DELETE ON sessions
BEGIN
    UPDATE session_counts SET total = total - 1, running = running - (old.status = 'running');
END;

CREATE TRIGGER session_counts_status AFTER UPDATE OF status ON sessions
WHEN (old.status = 'running') <> (new.status = 'running')
BEGIN
    UPDATE session_counts SET running = running + (new.status = 'running') * 2 - 1;
END;

CREATE TRIGGER session_entries_delete AFTER DELETE ON sessions
BEGIN
    DELETE FROM session_entries WHERE session = old.id;
END;

CREATE TRIGGER session_entries_insert AFTER INSERT ON sessions
WHEN EXISTS (SELECT 1 FROM session_entries WHERE session = new.id)
BEGIN
    INSERT INTO session_quarantine (table_name, reason, found_at, content)
    SELECT 'session_entries', 'orphan', strftime('%Y-%m-%dT%H:%M:%f000Z', 'now'),
           json_object('session', CASE typeof(session) WHEN 'blob' THEN hex(session) ELSE session END, 'seq', CASE typeof(seq) WHEN 'blob' THEN hex(seq) ELSE seq END, 'entry_id', CASE typeof(entry_id) WHEN 'blob' THEN hex(entry_id) ELSE entry_id END, 'kind', CASE typeof(kind) WHEN 'blob' THEN hex(kind) ELSE kind END, 'version', CASE typeof(version) WHEN 'blob' THEN hex(version) ELSE version END, 'created_at', CASE typeof(created_at) WHEN 'blob' THEN hex(created_at) ELSE created_at END, 'payload', CASE typeof(payload) WHEN 'blob' THEN hex(payload) ELSE payload END)
    FROM session_entries WHERE session = new.id;
    DELETE FROM session_entries WHERE session = new.id;
END;

CREATE TRIGGER session_entries_update BEFORE UPDATE OF id ON sessions
WHEN old.id <> new.id
BEGIN
    SELECT RAISE(ABORT, 'a session keeps its number: its entries refer to it');
END;

UPDATE session_store_alembic_version SET version_num='0006' WHERE session_store_alembic_version.version_num = '0005';

COMMIT;

