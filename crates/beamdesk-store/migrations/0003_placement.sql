-- Nodes as their monitors tell of them, what desktops have taken of them, and who may have what when.

-- One row per node: SRM (System Resource Monitoring). Made when a node is let in or first reports.
CREATE TABLE nodes (
    name             TEXT    PRIMARY KEY NOT NULL,
    -- The machine that reports under this name; another one is not believed.
    machine          TEXT,
    generation       BIGINT  NOT NULL,
    -- By the node's clock, and by ours.
    sampled_ms       BIGINT,
    received_ms      BIGINT,
    interval_s       BIGINT  NOT NULL,
    version          TEXT    NOT NULL,
    -- NodeFacts and the cards, as JSON; null until the first report.
    facts            TEXT,
    cards            TEXT,
    -- Why it is not believed; null: it is.
    quarantine       TEXT,
    quarantine_detail TEXT   NOT NULL,
    maintenance      BOOLEAN NOT NULL,
    -- Rises with each claim on this node: claims compare and swap on it.
    claims_revision  BIGINT  NOT NULL
);

-- A point of the last day for each node and five minutes.
CREATE TABLE node_samples (
    node         TEXT   NOT NULL REFERENCES nodes (name),
    slot_ms      BIGINT NOT NULL,
    -- CPU, memory and cards of that moment, as JSON.
    sample       TEXT   NOT NULL,
    PRIMARY KEY (node, slot_ms)
);

-- What a desktop has taken of a node, as long as its server is on or is being made.
CREATE TABLE claims (
    desktop_id  TEXT   PRIMARY KEY NOT NULL REFERENCES desktops (id),
    node        TEXT   NOT NULL,
    vcpus       BIGINT NOT NULL,
    memory_mib  BIGINT NOT NULL,
    disk_gib    BIGINT NOT NULL,
    claimed_ms  BIGINT NOT NULL
);
CREATE INDEX claims_by_node ON claims (node);

CREATE TABLE card_claims (
    node        TEXT   NOT NULL,
    card        TEXT   NOT NULL,
    desktop_id  TEXT   NOT NULL REFERENCES claims (desktop_id),
    share_milli BIGINT NOT NULL CHECK (share_milli BETWEEN 1 AND 1000),
    PRIMARY KEY (node, card, desktop_id)
);

-- Secrets by which monitors are let in; only their hashes.
CREATE TABLE enrolments (
    hash       TEXT   PRIMARY KEY NOT NULL,
    created_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL,
    uses_left  BIGINT NOT NULL,
    created_by TEXT   NOT NULL REFERENCES users (id)
);

CREATE TABLE stations (
    id    TEXT PRIMARY KEY NOT NULL,
    name  TEXT NOT NULL,
    -- What its desktops need of cards at least, as JSON.
    gpu   TEXT NOT NULL,
    -- Nodes kept for it, as a JSON list of names.
    nodes TEXT NOT NULL
);

CREATE TABLE reservations (
    id         TEXT   PRIMARY KEY NOT NULL,
    station    TEXT   NOT NULL REFERENCES stations (id),
    size_id    TEXT   NOT NULL,
    count      BIGINT NOT NULL CHECK (count > 0),
    from_ms    BIGINT NOT NULL,
    to_ms      BIGINT NOT NULL CHECK (to_ms > from_ms),
    note       TEXT   NOT NULL,
    created_by TEXT   NOT NULL REFERENCES users (id)
);
CREATE INDEX reservations_by_end ON reservations (to_ms);

-- GpuRequest as JSON; empty text: no demand.
ALTER TABLE sizes ADD COLUMN gpu TEXT NOT NULL DEFAULT '';
ALTER TABLE sizes ADD COLUMN term_hours BIGINT NOT NULL DEFAULT 0;
ALTER TABLE images ADD COLUMN gpu TEXT NOT NULL DEFAULT '';
ALTER TABLE desktops ADD COLUMN gpu TEXT NOT NULL DEFAULT '';
ALTER TABLE desktops ADD COLUMN station TEXT;
ALTER TABLE desktops ADD COLUMN queued_ms BIGINT NOT NULL DEFAULT 0;
UPDATE desktops SET queued_ms = created_ms;
ALTER TABLE desktops ADD COLUMN ends_ms BIGINT;
