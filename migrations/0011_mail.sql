-- What e-mail asks of the ticket service: threads that several parties may claim, links between tickets, caps against
-- loops, addresses that take no mail, and blocked senders.

-- A Message-ID that one party named first may belong to the thread of another, too: anybody can write a foreign id into
-- a header. tickets.thread_key keeps who named it first; here is, for each further party, the ticket that it leads that
-- party to. A party is an address, or "@domain" for the people of a company.
CREATE TABLE tickets.thread_claim (
    channel   smallint NOT NULL,
    account   text     NOT NULL,
    key       text     NOT NULL,
    party     text     NOT NULL,
    ticket_id uuid     NOT NULL,
    PRIMARY KEY (channel, account, key, party)
);

-- Tickets that have to do with each other, for agents to see. 'mentions': a mail of ticket_id named other_id, and
-- nothing proved that its sender belongs there. 'same_thread': a mail named messages of both.
CREATE TABLE tickets.ticket_link (
    ticket_id  uuid        NOT NULL,
    other_id   uuid        NOT NULL,
    kind       text        NOT NULL CHECK (kind IN ('mentions', 'same_thread')),
    created_at timestamptz NOT NULL,
    PRIMARY KEY (ticket_id, other_id, kind)
);
CREATE INDEX ticket_link_other ON tickets.ticket_link (other_id);

-- Token buckets of automatic mail. ticket_id is the nil UUID where a cap is on the address alone. The version grows by
-- one with each write: of two transactions that spent the same token one is run again.
CREATE TABLE tickets.loop_budget (
    address     text             NOT NULL,
    ticket_id   uuid             NOT NULL,
    kind        smallint         NOT NULL,
    tokens      double precision NOT NULL,
    refilled_at timestamptz      NOT NULL,
    version     bigint           NOT NULL,
    PRIMARY KEY (address, ticket_id, kind)
) WITH (fillfactor = 80);
CREATE INDEX loop_budget_old ON tickets.loop_budget USING brin (refilled_at);

-- When and why mail to an address came back for good last, and when mail to it failed for the time being.
ALTER TABLE tickets.identity
    ADD COLUMN undeliverable_at    timestamptz,
    ADD COLUMN undeliverable_cause text          NOT NULL DEFAULT '',
    ADD COLUMN soft_failures       timestamptz[] NOT NULL DEFAULT '{}';

-- The Message-ID of a message whose external_id had to differ from it: the id was used for another message.
ALTER TABLE tickets.message ADD COLUMN message_id_header text NOT NULL DEFAULT '';

-- What a report said of the address, for one that came before we knew the id that it names.
ALTER TABLE tickets.early_report
    ADD COLUMN address_invalid boolean NOT NULL DEFAULT false,
    ADD COLUMN address         text    NOT NULL DEFAULT '';

-- Senders whose messages wait in the quarantine: an address, or "@domain".
CREATE TABLE tickets.blocked_sender (
    pattern    text        PRIMARY KEY CHECK (pattern ~ '@.'),
    reason     text        NOT NULL,
    created_by text        NOT NULL,
    created_at timestamptz NOT NULL
);
