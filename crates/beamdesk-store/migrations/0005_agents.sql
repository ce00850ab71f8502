-- How agents of servers elsewhere come by their identity.

-- Secrets in seeds: each good for one identity, for a while; only their hashes. Used ones are kept as
-- long as their desktop, so that whoever comes with one later is noticed.
CREATE TABLE agent_secrets (
    hash       TEXT   PRIMARY KEY NOT NULL,
    desktop_id TEXT   NOT NULL REFERENCES desktops (id),
    generation BIGINT NOT NULL,
    issued_ms  BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL,
    used_ms    BIGINT,
    -- Digest of the key it was used for: whose answer got lost may ask again with the same.
    used_key   TEXT,
    -- When it was first used twice.
    alarm_ms   BIGINT
);
CREATE INDEX agent_secrets_by_desktop ON agent_secrets (desktop_id, issued_ms);

-- The one key that may have certificates for a desktop's agent.
CREATE TABLE agents (
    desktop_id  TEXT   PRIMARY KEY NOT NULL REFERENCES desktops (id),
    -- The generation whose server this is about: keys and secrets of older servers are no good.
    since       BIGINT NOT NULL,
    -- Digest of the public key; null until a server's agent has enrolled.
    key         TEXT,
    -- Of the newest certificate.
    generation  BIGINT NOT NULL,
    enrolled_ms BIGINT,
    renewed_ms  BIGINT
);
