-- Calls about contacts under a request id: the same call of the same caller is made once, another one is refused.
CREATE TABLE tickets.contact_call (
    -- Kind and id of who calls.
    caller     text        NOT NULL,
    request_id text        NOT NULL,
    digest     bytea       NOT NULL,
    -- What it made or changed.
    answer_id  uuid        NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (caller, request_id)
);
CREATE INDEX contact_call_created ON tickets.contact_call (created_at);

-- Tickets whose restriction somebody ended: no rule restricts these again.
CREATE TABLE tickets.lifted_restriction (
    ticket_id uuid        PRIMARY KEY REFERENCES tickets.ticket (id),
    lifted_by text        NOT NULL,
    lifted_at timestamptz NOT NULL
);
