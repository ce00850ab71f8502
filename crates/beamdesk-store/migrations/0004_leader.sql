-- Which of several portals acts on the cloud. One row for ever; each leadership has the next epoch.

CREATE TABLE leader (
    id         BIGINT PRIMARY KEY NOT NULL CHECK (id = 1),
    -- What the leader's tasks write is compared with it: an earlier leader writes nothing.
    epoch      BIGINT NOT NULL,
    -- Name of the portal, for people; empty: nobody ever led.
    holder     TEXT   NOT NULL,
    -- By the database's clock. From then on another portal may lead.
    expires_ms BIGINT NOT NULL
);
INSERT INTO leader (id, epoch, holder, expires_ms) VALUES (1, 0, '', 0);
