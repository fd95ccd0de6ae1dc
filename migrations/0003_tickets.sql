-- The ticket service's own schema: contacts, tickets, messages, and what ties them together.
CREATE SCHEMA tickets;

CREATE TABLE tickets.contact (
    id           uuid        PRIMARY KEY,
    display_name text        NOT NULL,
    language     text        NOT NULL DEFAULT '',
    created_at   timestamptz NOT NULL
);
CREATE INDEX contact_created ON tickets.contact (created_at DESC, id DESC);

-- One name of a contact, with its evidence. A value belongs to one contact at a time.
CREATE TABLE tickets.identity (
    kind        smallint    NOT NULL,
    scope       text        NOT NULL,
    value       text        NOT NULL,
    raw         text        NOT NULL,
    contact_id  uuid        NOT NULL REFERENCES tickets.contact DEFERRABLE INITIALLY DEFERRED,
    assurance   smallint    NOT NULL,
    attested_by text        NOT NULL,
    first_seen  timestamptz NOT NULL,
    PRIMARY KEY (kind, scope, value)
);
CREATE INDEX identity_contact ON tickets.identity (contact_id);
CREATE INDEX identity_value ON tickets.identity (value);

CREATE SEQUENCE tickets.ticket_number START 1000;

CREATE TABLE tickets.ticket (
    id                 uuid        PRIMARY KEY,
    number             bigint      NOT NULL UNIQUE,
    subject            text        NOT NULL,
    status             text        NOT NULL,
    priority           text        NOT NULL,
    contact_id         uuid        NOT NULL REFERENCES tickets.contact DEFERRABLE INITIALLY DEFERRED,
    channel            smallint    NOT NULL,
    account            text        NOT NULL,
    recipient          text        NOT NULL,
    conversation_key   text        NOT NULL,
    team_id            uuid,
    assignee_id        uuid,
    assign_reason      text        NOT NULL DEFAULT '',
    tags               text[]      NOT NULL DEFAULT '{}',
    language           text        NOT NULL DEFAULT '',
    created_at         timestamptz NOT NULL,
    updated_at         timestamptz NOT NULL,
    -- When a resolved ticket closes itself.
    close_at           timestamptz,
    first_response_due timestamptz,
    next_response_due  timestamptz,
    resolution_due     timestamptz,
    next_due           timestamptz GENERATED ALWAYS AS
                       (LEAST(first_response_due, next_response_due, resolution_due)) STORED,
    breached           boolean     NOT NULL DEFAULT false,
    -- Grows with each change.
    version            bigint      NOT NULL DEFAULT 1,
    -- Grows with each change that the router decides on.
    routing_version    bigint      NOT NULL DEFAULT 1,
    -- The version that the due times were computed from.
    sla_version        bigint      NOT NULL DEFAULT 0,
    -- When they were decided: of two decisions on one version, the later one holds.
    sla_decided_at     timestamptz,
    message_count      bigint      NOT NULL DEFAULT 0,
    -- Bits of the channels that messages came on or went to.
    channels           integer     NOT NULL DEFAULT 0,
    previous_ticket_id uuid,
    next_ticket_id     uuid
);
CREATE INDEX ticket_urgency ON tickets.ticket (next_due ASC NULLS LAST, id ASC);
CREATE INDEX ticket_contact ON tickets.ticket (contact_id, created_at DESC);
CREATE INDEX ticket_close ON tickets.ticket (close_at) WHERE close_at IS NOT NULL;
CREATE INDEX ticket_assignee ON tickets.ticket (assignee_id) WHERE assignee_id IS NOT NULL;

CREATE TABLE tickets.message (
    id              uuid        PRIMARY KEY,
    ticket_id       uuid        NOT NULL REFERENCES tickets.ticket DEFERRABLE INITIALLY DEFERRED,
    sequence        bigint      NOT NULL,
    channel         smallint    NOT NULL,
    account         text        NOT NULL,
    -- The vendor's id, or the Message-ID.
    external_id     text        NOT NULL DEFAULT '',
    author_kind     smallint    NOT NULL,
    author_id       text        NOT NULL,
    author_name     text        NOT NULL DEFAULT '',
    -- Where it came from or goes to on its channel, as received.
    address         text        NOT NULL DEFAULT '',
    public          boolean     NOT NULL,
    subject         text        NOT NULL DEFAULT '',
    body_text       text        NOT NULL,
    body_html       text        NOT NULL DEFAULT '',
    attachments     jsonb       NOT NULL DEFAULT '[]',
    fields          jsonb,
    notices         text[]      NOT NULL DEFAULT '{}',
    automatic_class smallint    NOT NULL,
    sender_verified boolean     NOT NULL DEFAULT false,
    created_at      timestamptz NOT NULL,
    sent_at         timestamptz,
    delivery_state  smallint    NOT NULL DEFAULT 0,
    delivery_error  text        NOT NULL DEFAULT '',
    request_id      text,
    UNIQUE (ticket_id, sequence)
);
-- Promise 2: an inbound message is filed once, however often it is delivered.
CREATE UNIQUE INDEX message_inbound ON tickets.message (channel, account, external_id)
    WHERE author_kind = 1 AND external_id <> '';
CREATE INDEX message_outbound ON tickets.message (channel, account, external_id)
    WHERE author_kind <> 1 AND external_id <> '';
CREATE UNIQUE INDEX message_request ON tickets.message (ticket_id, request_id) WHERE request_id IS NOT NULL;

-- The original bytes, or where they are. Mail is compressed badly and read rarely: stored as it is.
CREATE TABLE tickets.raw_original (
    message_id   uuid   PRIMARY KEY,
    content_type text   NOT NULL,
    size_bytes   bigint NOT NULL,
    sha256       text   NOT NULL,
    object_key   text,
    content      bytea
);
ALTER TABLE tickets.raw_original ALTER COLUMN content SET STORAGE EXTERNAL;

-- What ties a later message to a ticket: Message-IDs of its messages and of their ancestors, or the vendor's
-- conversation. Scoped to the channel account.
CREATE TABLE tickets.thread_key (
    channel   smallint NOT NULL,
    account   text     NOT NULL,
    key       text     NOT NULL,
    ticket_id uuid     NOT NULL,
    PRIMARY KEY (channel, account, key)
);

-- Who takes part in a ticket: addresses that may join it by answering one of its messages.
CREATE TABLE tickets.participant (
    ticket_id uuid NOT NULL,
    address   text NOT NULL,
    PRIMARY KEY (ticket_id, address)
);

-- Messages that open no ticket and wait, visibly, for somebody to decide.
CREATE TABLE tickets.quarantine (
    message_id      uuid        PRIMARY KEY,
    channel         smallint    NOT NULL,
    account         text        NOT NULL,
    sender          text        NOT NULL,
    subject         text        NOT NULL,
    cause_code      text        NOT NULL,
    automatic_class smallint    NOT NULL,
    quarantined_at  timestamptz NOT NULL,
    released_at     timestamptz,
    -- Encoded solmu.inbound.v1.MessageReceived.
    message         bytea       NOT NULL
);
CREATE INDEX quarantine_waiting ON tickets.quarantine (quarantined_at, message_id) WHERE released_at IS NULL;

-- The ids that quarantined messages name: when one of them turns up, the message is filed after all.
CREATE TABLE tickets.quarantine_key (
    channel    smallint NOT NULL,
    account    text     NOT NULL,
    key        text     NOT NULL,
    message_id uuid     NOT NULL,
    PRIMARY KEY (channel, account, key, message_id)
);
CREATE INDEX quarantine_key_message ON tickets.quarantine_key (message_id);

-- Delivery reports that came before we knew the id that they name.
CREATE TABLE tickets.early_report (
    channel     smallint    NOT NULL,
    account     text        NOT NULL,
    external_id text        NOT NULL,
    state       smallint    NOT NULL,
    error_code  text        NOT NULL,
    error_text  text        NOT NULL,
    reported_at timestamptz NOT NULL,
    PRIMARY KEY (channel, account, external_id, state)
);

CREATE TABLE tickets.outbox (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id   uuid        NOT NULL,
    family     text        NOT NULL,
    shard      integer     NOT NULL,
    event      bytea       NOT NULL,
    created_at timestamptz NOT NULL,
    sent_at    timestamptz
);
CREATE INDEX outbox_unsent ON tickets.outbox (id) WHERE sent_at IS NULL;
CREATE INDEX outbox_sent ON tickets.outbox (sent_at) WHERE sent_at IS NOT NULL;

CREATE TABLE tickets.inbox (
    consumer text        NOT NULL,
    event_id uuid        NOT NULL,
    seen_at  timestamptz NOT NULL,
    PRIMARY KEY (consumer, event_id)
);
CREATE INDEX inbox_seen ON tickets.inbox USING brin (seen_at);
