-- The first schema. One text for SQLite and PostgreSQL: times are *_ms BIGINT, ids TEXT.
--
-- Tickets and streams point at their desktop, session and user by composite keys, so that a row
-- which joins one person's session with another person's desktop cannot be written (SR-22).

CREATE TABLE users (
    id            TEXT    PRIMARY KEY NOT NULL,
    name          TEXT    NOT NULL UNIQUE,
    role          TEXT    NOT NULL CHECK (role IN ('user', 'operator', 'administrator')),
    disabled      BOOLEAN NOT NULL,
    password_hash TEXT    NOT NULL,
    language      TEXT    NOT NULL,
    theme         TEXT    NOT NULL,
    created_ms    BIGINT  NOT NULL
);

CREATE TABLE sizes (
    id             TEXT    PRIMARY KEY NOT NULL,
    name           TEXT    NOT NULL,
    vcpus          BIGINT  NOT NULL CHECK (vcpus >= 0),
    memory_mib     BIGINT  NOT NULL CHECK (memory_mib >= 0),
    disk_gib       BIGINT  NOT NULL CHECK (disk_gib >= 0),
    gpu_count      BIGINT  NOT NULL CHECK (gpu_count >= 0),
    gpu_memory_mib BIGINT  NOT NULL CHECK (gpu_memory_mib >= 0),
    enabled        BOOLEAN NOT NULL
);

CREATE TABLE images (
    id          TEXT    PRIMARY KEY NOT NULL,
    name        TEXT    NOT NULL,
    description TEXT    NOT NULL,
    enabled     BOOLEAN NOT NULL
);

-- image_id and size_id are no foreign keys: a deleted desktop keeps the names of what it was, and a
-- desktop whose image was withdrawn fails with a reason instead of blocking the withdrawal.
CREATE TABLE desktops (
    id             TEXT    PRIMARY KEY NOT NULL,
    owner_id       TEXT    NOT NULL REFERENCES users (id),
    name           TEXT    NOT NULL,
    image_id       TEXT    NOT NULL,
    size_id        TEXT    NOT NULL,
    goal           TEXT    NOT NULL CHECK (goal IN ('running', 'stopped', 'deleted')),
    phase          TEXT    NOT NULL CHECK (phase IN ('pending', 'building', 'booting', 'ready',
                       'stopping', 'stopped', 'failed', 'deleting', 'deleted')),
    generation     BIGINT  NOT NULL CHECK (generation >= 0),
    revision       BIGINT  NOT NULL,
    attempts       BIGINT  NOT NULL CHECK (attempts >= 0),
    phase_since_ms BIGINT  NOT NULL,
    node           TEXT,
    address        TEXT,
    failure_code   TEXT,
    failure_detail TEXT,
    restart        BOOLEAN NOT NULL,
    created_ms     BIGINT  NOT NULL,
    UNIQUE (id, owner_id)
);
CREATE INDEX desktops_by_owner ON desktops (owner_id, id);
CREATE INDEX desktops_open ON desktops (id) WHERE phase <> 'deleted';

CREATE TABLE sessions (
    id           TEXT   PRIMARY KEY NOT NULL,
    token_hash   TEXT   NOT NULL UNIQUE,
    user_id      TEXT   NOT NULL REFERENCES users (id),
    created_ms   BIGINT NOT NULL,
    last_seen_ms BIGINT NOT NULL,
    expires_ms   BIGINT NOT NULL,
    absolute_ms  BIGINT NOT NULL,
    ended_ms     BIGINT,
    UNIQUE (id, user_id)
);
CREATE INDEX sessions_by_user ON sessions (user_id);

CREATE TABLE tickets (
    hash       TEXT   PRIMARY KEY NOT NULL,
    user_id    TEXT   NOT NULL,
    session_id TEXT   NOT NULL,
    desktop_id TEXT   NOT NULL,
    generation BIGINT NOT NULL,
    gateway    TEXT   NOT NULL,
    bind_hash  TEXT   NOT NULL,
    issued_ms  BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL,
    used_ms    BIGINT,
    FOREIGN KEY (desktop_id, user_id) REFERENCES desktops (id, owner_id),
    FOREIGN KEY (session_id, user_id) REFERENCES sessions (id, user_id)
);
CREATE INDEX tickets_by_desktop ON tickets (desktop_id, expires_ms);
CREATE INDEX tickets_by_user ON tickets (user_id, issued_ms);

CREATE TABLE streams (
    id           TEXT   PRIMARY KEY NOT NULL,
    user_id      TEXT   NOT NULL,
    session_id   TEXT   NOT NULL,
    desktop_id   TEXT   NOT NULL,
    generation   BIGINT NOT NULL,
    gateway      TEXT   NOT NULL,
    bind_hash    TEXT   NOT NULL,
    -- Counter of the newest resume handle, and when it was given out.
    counter      BIGINT NOT NULL,
    rotated_ms   BIGINT NOT NULL,
    -- Resumes in the minute that began at window_ms.
    window_ms    BIGINT NOT NULL,
    window_count BIGINT NOT NULL,
    started_ms   BIGINT NOT NULL,
    -- Nobody watches since then; it can be resumed.
    detached_ms  BIGINT,
    -- Over for good.
    ended_ms     BIGINT,
    end_reason   TEXT,
    FOREIGN KEY (desktop_id, user_id) REFERENCES desktops (id, owner_id),
    FOREIGN KEY (session_id, user_id) REFERENCES sessions (id, user_id)
);
CREATE INDEX streams_by_desktop ON streams (desktop_id);
CREATE INDEX streams_by_session ON streams (session_id);
CREATE INDEX streams_by_gateway ON streams (gateway) WHERE ended_ms IS NULL;

CREATE TABLE audit (
    id      TEXT   PRIMARY KEY NOT NULL,
    at_ms   BIGINT NOT NULL,
    actor   TEXT   NOT NULL,
    action  TEXT   NOT NULL,
    subject TEXT   NOT NULL,
    detail  TEXT   NOT NULL
);

CREATE TABLE settings (
    key   TEXT PRIMARY KEY NOT NULL,
    value TEXT NOT NULL
);
