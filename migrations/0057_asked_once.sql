-- Calls of the router's API under a request id: the same call of the same caller is made once, another one is refused.
CREATE TABLE routing.call (
    -- Role and id of who calls.
    caller     text        NOT NULL,
    request_id text        NOT NULL,
    digest     bytea       NOT NULL,
    -- What it made.
    answer_id  uuid        NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (caller, request_id)
);
CREATE INDEX call_created ON routing.call (created_at);

-- Who asks for the next ticket under a request id gets the same one again; the row stays for a day then.
ALTER TABLE routing.pull ADD COLUMN request_id text;
CREATE UNIQUE INDEX pull_request ON routing.pull (agent_id, request_id) WHERE request_id IS NOT NULL;

-- A token that was made under a request id. Its secret is not told again, so a repeat is refused, and says which token it was.
ALTER TABLE access.token
    ADD COLUMN created_by text NOT NULL DEFAULT '',
    ADD COLUMN request_id text;
CREATE UNIQUE INDEX token_request ON access.token (created_by, request_id) WHERE request_id IS NOT NULL;

-- The number of the ticket that brought a restriction along no longer stands in the reason: not everybody who reads that sees
-- the other ticket.
UPDATE tickets.ticket
    SET assign_reason = regexp_replace(assign_reason, ' with #[0-9]+ \(service\)$', ' (service)')
    WHERE restricted_to IS NOT NULL AND assign_reason LIKE 'rule ''%restricts it with #%';
