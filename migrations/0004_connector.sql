-- What connectors keep of the messages that they send. Owned by solmu-connector, used by every channel.
CREATE SCHEMA connector;

-- One row per outgoing message. 'sending' is written before the vendor is called, so that a row found in it after a
-- crash says: the vendor may have the message. It becomes 'unknown' then and is never sent again by itself.
CREATE TABLE connector.outbound (
    message_id       uuid        PRIMARY KEY,
    -- Order of sending within one conversation.
    sequence         bigint      GENERATED ALWAYS AS IDENTITY,
    channel          text        NOT NULL,
    account          text        NOT NULL,
    conversation_key text        NOT NULL,
    -- What shares a limit: for mail the recipient's domain; empty where nothing is limited.
    lane             text        NOT NULL DEFAULT '',
    state            text        NOT NULL
                                 CHECK (state IN ('queued', 'sending', 'sent', 'delivered', 'unknown', 'failed')),
    -- Encoded solmu.outbound.v1.MessageQueued; cleared once the state is final, so that no body stays here.
    message          bytea,
    traceparent      text        NOT NULL DEFAULT '',
    tracestate       text        NOT NULL DEFAULT '',
    attempts         integer     NOT NULL DEFAULT 0,
    -- The vendor's id of the message.
    external_id      text        NOT NULL DEFAULT '',
    error_code       text        NOT NULL DEFAULT '',
    error_text       text        NOT NULL DEFAULT '',
    -- While 'sending': when the sender must have come back.
    claimed_until    timestamptz,
    -- While 'queued': not before.
    next_attempt_at  timestamptz NOT NULL,
    queued_at        timestamptz NOT NULL,
    finished_at      timestamptz,
    -- Whether the bus has the report of the final state.
    reported         boolean     NOT NULL DEFAULT false,
    CHECK ((state = 'sending') = (claimed_until IS NOT NULL)),
    CHECK ((state IN ('sent', 'delivered', 'unknown', 'failed')) = (finished_at IS NOT NULL)),
    CHECK (state NOT IN ('queued', 'sending') OR message IS NOT NULL)
);

CREATE INDEX outbound_due ON connector.outbound (channel, next_attempt_at) WHERE state = 'queued';
CREATE INDEX outbound_order ON connector.outbound (channel, account, conversation_key, sequence)
    WHERE state IN ('queued', 'sending');
CREATE INDEX outbound_claimed ON connector.outbound (channel, claimed_until) WHERE state = 'sending';
CREATE INDEX outbound_unreported ON connector.outbound (channel, finished_at)
    WHERE NOT reported AND finished_at IS NOT NULL;
CREATE INDEX outbound_finished ON connector.outbound (finished_at) WHERE reported;
