CREATE SCHEMA sla;

CREATE TABLE sla.outbox (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id   uuid        NOT NULL,
    family     text        NOT NULL,
    shard      integer     NOT NULL,
    event      bytea       NOT NULL,
    created_at timestamptz NOT NULL,
    sent_at    timestamptz
);
CREATE INDEX outbox_unsent ON sla.outbox (id) WHERE sent_at IS NULL;
CREATE INDEX outbox_sent ON sla.outbox (sent_at) WHERE sent_at IS NOT NULL;

CREATE TABLE sla.inbox (
    consumer text        NOT NULL,
    event_id uuid        NOT NULL,
    seen_at  timestamptz NOT NULL,
    PRIMARY KEY (consumer, event_id)
);
CREATE INDEX inbox_seen ON sla.inbox USING brin (seen_at);

-- One row: grows with each change of calendars or policies, so that services see it with their next transaction.
CREATE TABLE sla.catalogue (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    revision bigint  NOT NULL
);
INSERT INTO sla.catalogue (revision) VALUES (1);

-- Versions are never changed: a clock that began under one goes on under it.
CREATE TABLE sla.calendar (
    id           uuid        NOT NULL,
    version      integer     NOT NULL CHECK (version > 0),
    display_name text        NOT NULL,
    definition   jsonb       NOT NULL,
    created_at   timestamptz NOT NULL,
    PRIMARY KEY (id, version)
);

CREATE TABLE sla.policy (
    id                 uuid        NOT NULL,
    version            integer     NOT NULL CHECK (version > 0),
    -- Whether new tickets may get this version. At most one version of a policy.
    current            boolean     NOT NULL,
    position           integer     NOT NULL,
    display_name       text        NOT NULL,
    -- As written (AIP-160), and as the tree that is evaluated.
    condition          text        NOT NULL,
    tree               jsonb       NOT NULL,
    -- New tickets get the newest version of this calendar.
    calendar_id        uuid        NOT NULL,
    -- By priority: seconds for first_response, next_response, resolution.
    targets            jsonb       NOT NULL,
    pause_on           text[]      NOT NULL,
    next_response_from text        NOT NULL CHECK (next_response_from IN ('after_first', 'any')),
    remind_before_s    bigint      CHECK (remind_before_s > 0),
    created_at         timestamptz NOT NULL,
    PRIMARY KEY (id, version)
);
CREATE UNIQUE INDEX policy_current ON sla.policy (id) WHERE current;

-- The clocks of a ticket. `opening` and `state` are the JSON of the domain's TicketStart and TicketClocks; they and the
-- policy are null for a ticket to which nothing is promised.
--
-- The row is its own timer: `wake_at` is the earliest warning or breach that is still to be told, and `announced` are
-- those that were told, so each is told once. A table of timers was rejected: four rows and eight index entries for
-- each ticket, all to be replaced by every event, say nothing that does not follow from the state.
CREATE TABLE sla.ticket_clock (
    ticket_id          uuid        PRIMARY KEY,
    -- Version of the ticket that the clocks know.
    ticket_version     bigint      NOT NULL,
    policy_id          uuid,
    policy_version     integer,
    opening            jsonb,
    state              jsonb,
    announced          jsonb       NOT NULL,
    -- What was decided last, and goes out as an event when it changes.
    first_response_due timestamptz,
    next_response_due  timestamptz,
    resolution_due     timestamptz,
    breached           boolean     NOT NULL,
    wake_at            timestamptz,
    updated_at         timestamptz NOT NULL,
    FOREIGN KEY (policy_id, policy_version) REFERENCES sla.policy (id, version),
    CHECK ((policy_id IS NULL) = (policy_version IS NULL)),
    CHECK ((policy_id IS NULL) = (opening IS NULL)),
    CHECK ((policy_id IS NULL) = (state IS NULL))
) WITH (fillfactor = 70);
CREATE INDEX ticket_clock_wake ON sla.ticket_clock (wake_at) WHERE wake_at IS NOT NULL;

-- What happened to a ticket's clocks, in order of arrival: read when an event comes late and all has to be replayed,
-- and to explain. Events of tickets whose opening is not known yet wait here for it.
CREATE TABLE sla.clock_event (
    ticket_id uuid   NOT NULL,
    id        bigint GENERATED ALWAYS AS IDENTITY,
    event     jsonb  NOT NULL,
    PRIMARY KEY (ticket_id, id)
);
