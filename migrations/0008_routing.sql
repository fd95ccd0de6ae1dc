-- The router's own schema: who may get tickets, by which rules, what waits, and every decision with its inputs.
CREATE SCHEMA routing;

CREATE TABLE routing.outbox (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id   uuid        NOT NULL,
    family     text        NOT NULL,
    shard      integer     NOT NULL,
    event      bytea       NOT NULL,
    created_at timestamptz NOT NULL,
    sent_at    timestamptz
);
CREATE INDEX outbox_unsent ON routing.outbox (id) WHERE sent_at IS NULL;
CREATE INDEX outbox_sent ON routing.outbox (sent_at) WHERE sent_at IS NOT NULL;

CREATE TABLE routing.inbox (
    consumer text        NOT NULL,
    event_id uuid        NOT NULL,
    seen_at  timestamptz NOT NULL,
    PRIMARY KEY (consumer, event_id)
);
CREATE INDEX inbox_seen ON routing.inbox USING brin (seen_at);

CREATE TABLE routing.team (
    id           uuid        PRIMARY KEY,
    display_name text        NOT NULL,
    is_default   boolean     NOT NULL,
    created_at   timestamptz NOT NULL
);
CREATE UNIQUE INDEX team_name ON routing.team (lower(display_name));
-- At most one; that there is one is kept by who writes teams.
CREATE UNIQUE INDEX team_default ON routing.team (is_default) WHERE is_default;

-- `version` grows with what people change (name, capacity, teams, presence): a decision commits only if the agent is
-- still as the router saw them. `load`, `load_version` and `last_assigned` are written by the router's leader alone.
CREATE TABLE routing.agent (
    id               uuid        PRIMARY KEY,
    display_name     text        NOT NULL,
    email            text        NOT NULL,
    capacity         integer     NOT NULL CHECK (capacity BETWEEN 1 AND 1000000),
    presence         text        NOT NULL CHECK (presence IN ('online', 'away', 'offline')),
    presence_at      timestamptz NOT NULL,
    version          bigint      NOT NULL,
    load             bigint      NOT NULL DEFAULT 0,
    load_version     bigint      NOT NULL DEFAULT 0,
    last_assigned    bigint      NOT NULL DEFAULT 0,
    last_assigned_at timestamptz,
    created_at       timestamptz NOT NULL
) WITH (fillfactor = 50);
CREATE UNIQUE INDEX agent_email ON routing.agent (lower(email)) WHERE email <> '';

CREATE TABLE routing.agent_team (
    agent_id uuid NOT NULL REFERENCES routing.agent (id) ON DELETE CASCADE,
    team_id  uuid NOT NULL REFERENCES routing.team (id),
    PRIMARY KEY (agent_id, team_id)
);
CREATE INDEX agent_team_team ON routing.agent_team (team_id);

CREATE TABLE routing.rule (
    id           uuid        PRIMARY KEY,
    display_name text        NOT NULL,
    position     integer     NOT NULL,
    -- As written (AIP-160), and as the tree that is evaluated.
    condition    text        NOT NULL,
    tree         jsonb       NOT NULL,
    team_id      uuid        NOT NULL REFERENCES routing.team (id),
    set_priority text        CHECK (set_priority IN ('low', 'normal', 'high', 'urgent')),
    add_tags     text[]      NOT NULL,
    enabled      boolean     NOT NULL,
    version      bigint      NOT NULL,
    updated_at   timestamptz NOT NULL
);
CREATE INDEX rule_position ON routing.rule (position, id);

-- One row: grows with each change of the rules or of the default team, so that waiting tickets are routed anew.
CREATE TABLE routing.rule_set (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    version  bigint  NOT NULL
);
INSERT INTO routing.rule_set (version) VALUES (1);

-- The router's view of a ticket, learned from events. Written by the leader alone.
CREATE TABLE routing.ticket (
    ticket_id       uuid        PRIMARY KEY,
    number          bigint      NOT NULL,
    version         bigint      NOT NULL,
    routing_version bigint      NOT NULL,
    status          text        NOT NULL,
    priority        text        NOT NULL,
    channel         text        NOT NULL,
    account         text        NOT NULL,
    recipient       text        NOT NULL,
    language        text        NOT NULL,
    tags            jsonb       NOT NULL,
    -- Team and owner as the ticket service has them.
    team_id         uuid,
    assignee_id     uuid,
    created_at      timestamptz NOT NULL,
    next_due        timestamptz,
    -- Where the router wants it: team, rule, and what the rule still has to change.
    route           jsonb,
    state           text        NOT NULL CHECK (state IN ('waiting', 'reserved', 'assigned', 'done')),
    -- Whom it counts for: reserved for or assigned to.
    owner_id        uuid,
    -- The decision whose answer is awaited: a reservation, or the way into a team's queue.
    decision_id     uuid,
    waiting_since   timestamptz,
    wait_reason     text,
    rejections      integer     NOT NULL,
    held_until      timestamptz,
    traceparent     text        NOT NULL,
    tracestate      text        NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX ticket_live ON routing.ticket (ticket_id) WHERE state <> 'done';

-- Append-only but for the outcome. Answers "why is this ticket where it is".
CREATE TABLE routing.decision (
    id                 uuid        PRIMARY KEY,
    -- The order in which they were made, whatever the clocks of the leaders said.
    seq                bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
    ticket_id          uuid        NOT NULL,
    team_id            uuid        NOT NULL,
    agent_id           uuid,
    routing_version    bigint      NOT NULL,
    agent_load_version bigint      NOT NULL,
    lease_epoch        bigint      NOT NULL,
    rule_id            uuid,
    rule_version       bigint      NOT NULL,
    reason             text        NOT NULL,
    candidates         jsonb       NOT NULL,
    decided_at         timestamptz NOT NULL,
    outcome            text        NOT NULL CHECK (outcome IN ('reserved', 'applied', 'rejected')),
    outcome_cause      text,
    outcome_at         timestamptz
) WITH (fillfactor = 85);
CREATE INDEX decision_ticket ON routing.decision (ticket_id, seq);
