-- What the cloud says of desktops beside their phase: a state of the server that we have not, or a
-- trouble that lasts. A row only while there is something to say.
CREATE TABLE cloud_notes (
    desktop_id TEXT PRIMARY KEY NOT NULL REFERENCES desktops (id),
    -- The server's state, and the trouble, as words that pages translate.
    state      TEXT,
    trouble    TEXT,
    -- For operators; names the cloud's request where there was one.
    detail     TEXT NOT NULL
);
