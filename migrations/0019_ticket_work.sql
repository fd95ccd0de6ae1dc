-- What a ticket is about, custom fields, sub-tickets, tasks, followers and snooze.

ALTER TABLE tickets.ticket
    -- Words between slashes, in lower case.
    ADD COLUMN category         text    NOT NULL DEFAULT '',
    -- Sorted.
    ADD COLUMN organization_ids uuid[]  NOT NULL DEFAULT '{}',
    -- {"key": ["value", ...]}: canonical text, always an array, keys without a value are left out.
    ADD COLUMN fields           jsonb   NOT NULL DEFAULT '{}',
    -- The ticket that it is a part of; whoever looks there is led on by merged_into.
    ADD COLUMN parent_id        uuid,
    -- It sleeps: until wake_at, or until the customer writes.
    ADD COLUMN snoozed          boolean NOT NULL DEFAULT false,
    ADD COLUMN wake_at          timestamptz;
CREATE INDEX ticket_category ON tickets.ticket (category text_pattern_ops) WHERE category <> '';
CREATE INDEX ticket_organizations ON tickets.ticket USING gin (organization_ids) WHERE organization_ids <> '{}';
CREATE INDEX ticket_fields ON tickets.ticket USING gin (fields jsonb_path_ops) WHERE fields <> '{}';
CREATE INDEX ticket_parent ON tickets.ticket (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX ticket_wake ON tickets.ticket (wake_at) WHERE wake_at IS NOT NULL;

-- Definitions of custom fields. min and max in canonical text.
CREATE TABLE tickets.field (
    key         text        PRIMARY KEY CHECK (key ~ '^[a-z][a-z0-9_]{0,62}$'),
    label       text        NOT NULL,
    -- text, number, date, datetime, boolean, choice or multi_choice.
    kind        text        NOT NULL,
    options     text[]      NOT NULL DEFAULT '{}',
    required    boolean     NOT NULL DEFAULT false,
    min         text        NOT NULL DEFAULT '',
    max         text        NOT NULL DEFAULT '',
    min_length  integer     NOT NULL DEFAULT 0,
    max_length  integer     NOT NULL DEFAULT 0,
    pattern     text        NOT NULL DEFAULT '',
    version     bigint      NOT NULL DEFAULT 1,
    archived_at timestamptz,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    request_id  text        UNIQUE
);

-- Changes under a request id: the same id changes the ticket once.
CREATE TABLE tickets.change_request (
    ticket_id  uuid        NOT NULL,
    request_id text        NOT NULL,
    -- SHA-256 of what was asked.
    digest     bytea       NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (ticket_id, request_id)
);
CREATE INDEX change_request_created ON tickets.change_request (created_at);

CREATE TABLE tickets.task (
    id          uuid        PRIMARY KEY,
    ticket_id   uuid        NOT NULL REFERENCES tickets.ticket DEFERRABLE INITIALLY DEFERRED,
    title       text        NOT NULL,
    assignee_id uuid,
    due_at      timestamptz,
    remind_at   timestamptz,
    -- When the reminder of remind_at was told.
    reminded_at timestamptz,
    done_at     timestamptz,
    done_by     text        NOT NULL DEFAULT '',
    created_by  text        NOT NULL,
    version     bigint      NOT NULL DEFAULT 1,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    request_id  text
);
CREATE INDEX task_ticket ON tickets.task (ticket_id, due_at, id);
CREATE INDEX task_assignee ON tickets.task (assignee_id, due_at, id) WHERE assignee_id IS NOT NULL;
CREATE INDEX task_remind ON tickets.task (remind_at) WHERE reminded_at IS NULL AND done_at IS NULL AND remind_at IS NOT NULL;
CREATE UNIQUE INDEX task_request ON tickets.task (ticket_id, request_id) WHERE request_id IS NOT NULL;

CREATE TABLE tickets.follower (
    ticket_id  uuid        NOT NULL,
    agent_id   uuid        NOT NULL,
    created_by text        NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (ticket_id, agent_id)
);
CREATE INDEX follower_agent ON tickets.follower (agent_id);

-- Links that people make: 'related' (the lesser id first), 'duplicate' (ticket_id is one of other_id), 'problem_of'
-- (ticket_id is the problem behind other_id).
ALTER TABLE tickets.ticket_link DROP CONSTRAINT ticket_link_kind_check;
ALTER TABLE tickets.ticket_link
    ADD COLUMN created_by text NOT NULL DEFAULT '',
    ADD CONSTRAINT ticket_link_kind_check
        CHECK (kind IN ('mentions', 'same_thread', 'split', 'related', 'duplicate', 'problem_of'));
