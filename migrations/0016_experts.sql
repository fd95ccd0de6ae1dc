-- Agents who answer by mail, outside experts, quotes, and a quarantine that somebody looks after.

-- The roster of the router as the ticket service knows it: who an agent is by mail. A copy, brought up to date by
-- asking; an agent without an address is not in it.
CREATE TABLE tickets.agent (
    id           uuid PRIMARY KEY,
    display_name text NOT NULL,
    -- Normalised.
    address      text NOT NULL
);
CREATE UNIQUE INDEX agent_address ON tickets.agent (address);

-- A conversation with one expert beside a ticket. Its id is what the expert's reply address is signed for.
CREATE TABLE tickets.side_conversation (
    id           uuid        PRIMARY KEY,
    ticket_id    uuid        NOT NULL REFERENCES tickets.ticket DEFERRABLE INITIALLY DEFERRED,
    -- Normalised.
    address      text        NOT NULL,
    display_name text        NOT NULL,
    -- The message that began it.
    message_id   uuid        NOT NULL,
    created_by   text        NOT NULL,
    created_at   timestamptz NOT NULL
);
CREATE INDEX side_conversation_ticket ON tickets.side_conversation (ticket_id);
CREATE UNIQUE INDEX side_conversation_message ON tickets.side_conversation (message_id);

-- Where the quoted tail and the signature begin, in characters; the side conversation; and who wrote it, where address
-- is whom it went to (an agent's answer by mail).
ALTER TABLE tickets.message
    ADD COLUMN quote_offset         integer,
    ADD COLUMN signature_offset     integer,
    ADD COLUMN side_conversation_id uuid,
    ADD COLUMN author_address       text NOT NULL DEFAULT '';

-- Rejected: it waits no more, and can still be released. sweep_at: when the sweep looks next whether what it answers
-- has turned up; NULL for what waits for a person.
ALTER TABLE tickets.quarantine
    ADD COLUMN rejected_at   timestamptz,
    ADD COLUMN rejected_by   text NOT NULL DEFAULT '',
    ADD COLUMN reject_reason text NOT NULL DEFAULT '',
    ADD COLUMN sweep_at      timestamptz;
UPDATE tickets.quarantine SET sweep_at = quarantined_at WHERE released_at IS NULL AND EXISTS (
    SELECT 1 FROM tickets.quarantine_key AS waiting WHERE waiting.message_id = quarantine.message_id);
DROP INDEX tickets.quarantine_waiting;
CREATE INDEX quarantine_waiting ON tickets.quarantine (quarantined_at, message_id)
    WHERE released_at IS NULL AND rejected_at IS NULL;
CREATE INDEX quarantine_rejected ON tickets.quarantine (quarantined_at, message_id)
    WHERE released_at IS NULL AND rejected_at IS NOT NULL;
CREATE INDEX quarantine_sweep ON tickets.quarantine (sweep_at)
    WHERE released_at IS NULL AND rejected_at IS NULL AND sweep_at IS NOT NULL;
CREATE INDEX quarantine_age ON tickets.quarantine (quarantined_at);
