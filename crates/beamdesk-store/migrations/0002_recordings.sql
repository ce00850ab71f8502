-- Recordings of streams. The files are with the gateways; here is who may see them.

CREATE TABLE recordings (
    id           TEXT    PRIMARY KEY NOT NULL,
    -- Whose desktop it shows, and who watched it.
    user_id      TEXT    NOT NULL REFERENCES users (id),
    desktop_id   TEXT    NOT NULL,
    -- As it was called then.
    desktop_name TEXT    NOT NULL,
    gateway      TEXT    NOT NULL,
    -- Made because the policy says so, not by the user's wish.
    required     BOOLEAN NOT NULL,
    started_ms   BIGINT  NOT NULL,
    bytes        BIGINT  NOT NULL,
    duration_ms  BIGINT  NOT NULL,
    -- Null while it goes on.
    end_reason   TEXT,
    -- Removed by a person; the row goes when the gateway says that the file has gone.
    removed_ms   BIGINT,
    FOREIGN KEY (desktop_id, user_id) REFERENCES desktops (id, owner_id)
);
CREATE INDEX recordings_by_user ON recordings (user_id, id);
CREATE INDEX recordings_by_gateway ON recordings (gateway);

CREATE TABLE recording_tickets (
    hash         TEXT   PRIMARY KEY NOT NULL,
    user_id      TEXT   NOT NULL,
    session_id   TEXT   NOT NULL,
    recording_id TEXT   NOT NULL,
    purpose      TEXT   NOT NULL CHECK (purpose IN ('play', 'download')),
    gateway      TEXT   NOT NULL,
    bind_hash    TEXT   NOT NULL,
    issued_ms    BIGINT NOT NULL,
    expires_ms   BIGINT NOT NULL,
    used_ms      BIGINT,
    FOREIGN KEY (session_id, user_id) REFERENCES sessions (id, user_id)
);
CREATE INDEX recording_tickets_by_user ON recording_tickets (user_id, issued_ms);
