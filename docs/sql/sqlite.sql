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

COMMIT;

