-- Tickets that get their first policy late, and webhooks of escalation steps.

ALTER TABLE sla.ticket_clock
    -- Opening and facts of a ticket to which nothing is promised (yet); null beside a policy, and in rows of the release
    -- before.
    ADD COLUMN unpromised jsonb;

-- Calls of webhooks: one for each step that names one, written with the step. A call is claimed by moving next_at on, so
-- that one whose sender died is made again; its id is that of the event, by which the receiver knows a repeat.
CREATE TABLE sla.webhook_call (
    id         uuid        PRIMARY KEY,
    name       text        NOT NULL,
    body       text        NOT NULL,
    attempts   integer     NOT NULL DEFAULT 0,
    -- Null once it has succeeded or was given up.
    next_at    timestamptz,
    -- What the last attempt came to: an HTTP status, or the kind of failure.
    outcome    text        NOT NULL DEFAULT '',
    succeeded  boolean     NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL
);
CREATE INDEX webhook_call_next ON sla.webhook_call (next_at) WHERE next_at IS NOT NULL;
CREATE INDEX webhook_call_created ON sla.webhook_call (created_at);
