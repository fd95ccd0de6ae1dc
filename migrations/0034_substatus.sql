-- Finer words for where a ticket stands, and when it was over.

ALTER TABLE tickets.ticket
    -- Of the present status; empty for none.
    ADD COLUMN substatus   text NOT NULL DEFAULT '',
    -- Since when it has been resolved (or closed at once); null while it is open.
    ADD COLUMN resolved_at timestamptz,
    -- Since when it has been closed.
    ADD COLUMN closed_at   timestamptz;
CREATE INDEX ticket_substatus ON tickets.ticket (substatus) WHERE substatus <> '';
CREATE INDEX ticket_resolved ON tickets.ticket (resolved_at) WHERE resolved_at IS NOT NULL;
CREATE INDEX ticket_closed ON tickets.ticket (closed_at) WHERE closed_at IS NOT NULL;

CREATE TABLE tickets.substatus (
    name        text        PRIMARY KEY CHECK (name ~ '^[a-z][a-z0-9_]{0,62}$'),
    label       text        NOT NULL,
    -- The status that it is a part of.
    status      text        NOT NULL,
    -- Place among those of its status.
    position    integer     NOT NULL DEFAULT 0,
    retired_at  timestamptz,
    version     bigint      NOT NULL DEFAULT 1,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    request_id  text        UNIQUE
);
