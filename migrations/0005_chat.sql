-- Live chat: sessions of visitors and what was said in them. Owned by solmu-chat.
CREATE SCHEMA chat;

-- One visitor's conversation in one inbox. The visitor proves it with a random token, of which only the hash is here.
CREATE TABLE chat.session (
    id                     uuid        PRIMARY KEY,
    inbox                  text        NOT NULL,
    token_sha256           bytea       NOT NULL UNIQUE CHECK (octet_length(token_sha256) = 32),
    -- What the visitor says of themselves: never proof of who they are.
    visitor_name           text        NOT NULL DEFAULT '',
    visitor_email          text        NOT NULL DEFAULT '',
    language               text        NOT NULL DEFAULT '',
    -- Number of the last message. Given out under this row's lock, so numbers have no gaps and commit in order.
    last_seq               bigint      NOT NULL DEFAULT 0,
    -- How far the visitor's side has messages, and has read them; and how far the bus was told.
    delivered_seq          bigint      NOT NULL DEFAULT 0,
    read_seq               bigint      NOT NULL DEFAULT 0,
    reported_delivered_seq bigint      NOT NULL DEFAULT 0,
    reported_read_seq      bigint      NOT NULL DEFAULT 0,
    created_at             timestamptz NOT NULL,
    expires_at             timestamptz NOT NULL,
    ended_at               timestamptz,
    CHECK (read_seq <= delivered_seq AND delivered_seq <= last_seq),
    CHECK (reported_delivered_seq <= delivered_seq AND reported_read_seq <= read_seq)
);

CREATE INDEX session_expired ON chat.session (expires_at);
CREATE INDEX session_unreported ON chat.session (id)
    WHERE delivered_seq > reported_delivered_seq OR read_seq > reported_read_seq;

CREATE TABLE chat.message (
    session_id    uuid        NOT NULL REFERENCES chat.session ON DELETE CASCADE,
    seq           bigint      NOT NULL CHECK (seq > 0),
    -- 'in' from the visitor, 'out' to the visitor.
    direction     text        NOT NULL CHECK (direction IN ('in', 'out')),
    -- The visitor's own id of the message: a resend is recognised by it.
    client_msg_id text        CHECK ((client_msg_id IS NOT NULL) = (direction = 'in')),
    message_id    uuid        NOT NULL UNIQUE,
    author        text        NOT NULL DEFAULT '',
    text          text        NOT NULL,
    created_at    timestamptz NOT NULL,
    -- Encoded solmu.inbound.v1.MessageReceived until the bus has it.
    pending       bytea       CHECK (pending IS NULL OR direction = 'in'),
    PRIMARY KEY (session_id, seq)
);

CREATE UNIQUE INDEX message_client_id ON chat.message (session_id, client_msg_id) WHERE client_msg_id IS NOT NULL;
CREATE INDEX message_pending ON chat.message (created_at) WHERE pending IS NOT NULL;
