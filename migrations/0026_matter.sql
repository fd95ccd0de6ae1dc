-- One matter, one ticket, over several channels: what joined a ticket because it is about the same, and what may.

-- The sighting that a customer's message brought: who wrote it, as far as they proved it. Null: nothing to go by.
ALTER TABLE tickets.message ADD COLUMN sighting_id uuid;

-- The open tickets of a contact: what a message on another channel may be about.
CREATE INDEX ticket_contact_open ON tickets.ticket (contact_id, created_at DESC)
    WHERE merged_into IS NULL AND status NOT IN ('resolved', 'closed');

-- A message that is about the same as a ticket.
CREATE TABLE tickets.matter (
    id               uuid        PRIMARY KEY,
    -- 1 joined by itself, 2 waits for somebody to decide, 3 accepted, 4 dismissed, 5 split out again.
    state            smallint    NOT NULL,
    message_id       uuid        NOT NULL,
    -- The ticket that it joined, or may.
    ticket_id        uuid        NOT NULL,
    -- The ticket that it opened; null if it joined.
    opened_id        uuid,
    -- 'number', 'reference' or 'words'.
    ground           text        NOT NULL,
    -- 0 to 100.
    score            smallint    NOT NULL,
    -- The same requester wrote both, and proved it.
    proven           boolean     NOT NULL,
    -- What both name; empty for words.
    reference        text        NOT NULL,
    -- The conversation of the message: answers go there while the requester writes there.
    contact_id       uuid        NOT NULL,
    channel          smallint    NOT NULL,
    account          text        NOT NULL,
    address          text        NOT NULL,
    conversation_key text        NOT NULL,
    recipient        text        NOT NULL,
    created_at       timestamptz NOT NULL,
    -- Of a decision.
    decided_at       timestamptz,
    decided_kind     smallint    NOT NULL DEFAULT 0,
    decided_by       text        NOT NULL DEFAULT '',
    request_id       text
);
CREATE UNIQUE INDEX matter_pair ON tickets.matter (message_id, ticket_id);
CREATE UNIQUE INDEX matter_request ON tickets.matter (request_id) WHERE request_id IS NOT NULL;
CREATE INDEX matter_waiting ON tickets.matter (created_at DESC, id DESC) WHERE state = 2;
CREATE INDEX matter_ticket ON tickets.matter (ticket_id, created_at DESC, id DESC);
CREATE INDEX matter_opened ON tickets.matter (opened_id) WHERE opened_id IS NOT NULL;
CREATE INDEX matter_contact ON tickets.matter (contact_id);
