-- People whom an identity provider vouches for, and which of its sessions ours stand on.

-- A person is who the provider says (issuer and subject), never a name or an e-mail address.
CREATE TABLE identities (
    issuer     TEXT   NOT NULL,
    subject    TEXT   NOT NULL,
    user_id    TEXT   NOT NULL UNIQUE REFERENCES users (id),
    -- Stations that may be chosen, as a JSON list of ids; null: all.
    stations   TEXT,
    created_ms BIGINT NOT NULL,
    seen_ms    BIGINT NOT NULL,
    PRIMARY KEY (issuer, subject)
);

CREATE TABLE provider_sessions (
    session_id TEXT NOT NULL PRIMARY KEY REFERENCES sessions (id) ON DELETE CASCADE,
    issuer     TEXT NOT NULL,
    subject    TEXT NOT NULL,
    -- The provider's own name of the session, where it gives one.
    sid        TEXT
);
CREATE INDEX provider_sessions_by_subject ON provider_sessions (issuer, subject);
CREATE INDEX provider_sessions_by_sid ON provider_sessions (issuer, sid);

-- Logout tokens that were used already; only their hashes.
CREATE TABLE logout_tokens (
    hash       TEXT   NOT NULL PRIMARY KEY,
    expires_ms BIGINT NOT NULL
);
