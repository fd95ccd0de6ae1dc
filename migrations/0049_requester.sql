-- Requesters who see and do things by a portal.

-- Which portal vouched for an identity, how, since when, and when last (to the hour). It goes with its identity.
CREATE TABLE tickets.identity_attestation (
    kind        smallint    NOT NULL,
    scope       text        NOT NULL,
    value       text        NOT NULL,
    -- The token of the portal.
    attested_by text        NOT NULL,
    method      text        NOT NULL,
    first_at    timestamptz NOT NULL,
    last_at     timestamptz NOT NULL,
    PRIMARY KEY (kind, scope, value, attested_by),
    FOREIGN KEY (kind, scope, value) REFERENCES tickets.identity ON DELETE CASCADE
);

-- What was written under which request id.
CREATE TABLE tickets.requester_request (
    -- UUIDv5 of token, requester and request id: it says nothing of either.
    id         uuid        PRIMARY KEY,
    -- Of what was asked: another one under the same id is refused.
    digest     bytea       NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE INDEX requester_request_created ON tickets.requester_request (created_at);

-- By which merges a message came to its ticket.
CREATE INDEX merged_message_message ON tickets.merged_message (message_id);
