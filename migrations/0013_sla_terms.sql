-- Policies and calendars that can be edited, more metrics, escalation chains, attainment.

ALTER TABLE sla.calendar
    -- Set on every version at once. Clocks that are counted in it go on.
    ADD COLUMN deleted_at timestamptz;

-- JSON of the domain's PolicyRules.
ALTER TABLE sla.policy ADD COLUMN rules jsonb NOT NULL DEFAULT '{}';

-- The calendars of teams, for policies that go by them.
CREATE TABLE sla.team_calendar (
    team_id     uuid PRIMARY KEY,
    calendar_id uuid NOT NULL
);

ALTER TABLE sla.ticket_clock
    -- Keys ("id@version") of the policies that hold, in order; the first is (policy_id, policy_version). Empty in rows of
    -- the release before: only that one then.
    ADD COLUMN policies            text[]  NOT NULL DEFAULT '{}',
    -- Whether the ticket is neither resolved nor closed, so that an edit of its policy may concern it.
    ADD COLUMN open                boolean NOT NULL DEFAULT true,
    ADD COLUMN channel             text    NOT NULL DEFAULT '',
    ADD COLUMN periodic_update_due timestamptz,
    ADD COLUMN agent_work_due      timestamptz,
    ADD COLUMN ownership_due       timestamptz;

-- Cycles that count for attainment: those that were met, in time or late, and those that are late and still run. Derived
-- from the clocks, written in the transaction that changes them, and taken back when a late event changes the past.
CREATE TABLE sla.cycle (
    ticket_id  uuid        NOT NULL,
    metric     text        NOT NULL,
    cycle      integer     NOT NULL,
    policy_id  uuid        NOT NULL,
    team_id    uuid,
    channel    text        NOT NULL,
    priority   text        NOT NULL,
    target_s   bigint      NOT NULL,
    elapsed_s  bigint      NOT NULL,
    -- When it ended; for one that still runs, when it was breached.
    counted_at timestamptz NOT NULL,
    ended      boolean     NOT NULL,
    breached   boolean     NOT NULL,
    PRIMARY KEY (ticket_id, metric, cycle)
);
CREATE INDEX cycle_counted ON sla.cycle (counted_at);

-- Edits of policies on their way to the open tickets: the leader takes batches from the cursor on, and removes the row
-- with the last one. An edit that is started again changes nothing twice.
CREATE TABLE sla.edit (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    policy_id  uuid        NOT NULL,
    recompute  boolean     NOT NULL,
    after      uuid        NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    created_at timestamptz NOT NULL
);
