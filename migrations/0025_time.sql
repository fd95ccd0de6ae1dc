-- Time spent on tickets, what was ordered from the catalogue, and whom a note mentions.

CREATE TABLE tickets.time_entry (
    id         uuid          PRIMARY KEY,
    ticket_id  uuid          NOT NULL REFERENCES tickets.ticket DEFERRABLE INITIALLY DEFERRED,
    -- Whose time: an agent's id, or the token of an admin.
    agent_id   text          NOT NULL,
    started_at timestamptz   NOT NULL,
    -- NULL while the timer runs.
    seconds    bigint        CHECK (seconds > 0),
    billable   boolean       NOT NULL,
    activity   text          NOT NULL DEFAULT '',
    -- Of an hour; NULL: it has no price.
    rate       numeric(16,4),
    currency   text          NOT NULL DEFAULT '',
    note       text          NOT NULL DEFAULT '',
    created_by text          NOT NULL,
    created_at timestamptz   NOT NULL,
    updated_at timestamptz   NOT NULL,
    version    bigint        NOT NULL DEFAULT 1,
    request_id text,
    -- Of the call that stopped its timer.
    stop_request_id text
);
CREATE INDEX time_entry_ticket ON tickets.time_entry (ticket_id, started_at, id);
CREATE INDEX time_entry_agent ON tickets.time_entry (agent_id, started_at, id);
CREATE INDEX time_entry_started ON tickets.time_entry (started_at, id) WHERE seconds IS NOT NULL;
-- One timer of one agent.
CREATE UNIQUE INDEX time_entry_timer ON tickets.time_entry (agent_id) WHERE seconds IS NULL;
CREATE UNIQUE INDEX time_entry_request ON tickets.time_entry (created_by, request_id) WHERE request_id IS NOT NULL;
CREATE UNIQUE INDEX time_entry_stop ON tickets.time_entry (agent_id, stop_request_id) WHERE stop_request_id IS NOT NULL;

-- What was ordered. The values are in the tickets that were opened, and nowhere else.
CREATE TABLE tickets.catalogue_order (
    -- That of the ticket.
    id         uuid        PRIMARY KEY,
    item_id    uuid        NOT NULL,
    item_version text      NOT NULL,
    contact_id uuid        NOT NULL,
    sub_ticket_ids uuid[]  NOT NULL DEFAULT '{}',
    tasks      integer     NOT NULL DEFAULT 0,
    created_by text        NOT NULL,
    created_at timestamptz NOT NULL,
    request_id text,
    -- SHA-256 of what was asked.
    digest     bytea       NOT NULL DEFAULT ''
);
CREATE INDEX catalogue_order_item ON tickets.catalogue_order (item_id, created_at);
CREATE UNIQUE INDEX catalogue_order_request ON tickets.catalogue_order (created_by, request_id) WHERE request_id IS NOT NULL;

ALTER TABLE tickets.message ADD COLUMN mentions uuid[] NOT NULL DEFAULT '{}';
