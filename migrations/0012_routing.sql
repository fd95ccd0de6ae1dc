-- Routing in full: skills, languages, hours and limits of agents, helpers of teams, actions and versions of rules, and
-- what the router remembers of a ticket to match it well.

ALTER TABLE routing.team
    ADD COLUMN strategy         text CHECK (strategy IN ('balanced', 'round_robin', 'spare', 'fewest_skills')),
    ADD COLUMN overflow_after_s integer CHECK (overflow_after_s >= 0),
    ADD COLUMN overflow_to      uuid[] NOT NULL DEFAULT '{}';

-- A wider check than before: rows of the release before hold.
ALTER TABLE routing.agent DROP CONSTRAINT agent_presence_check;
ALTER TABLE routing.agent
    ADD CONSTRAINT agent_presence_check CHECK (presence IN ('online', 'busy', 'away', 'offline')),
    -- {"billing": 3}
    ADD COLUMN skills         jsonb  NOT NULL DEFAULT '{}',
    ADD COLUMN languages      text[] NOT NULL DEFAULT '{}',
    -- {"chat": 3}
    ADD COLUMN channel_limits jsonb  NOT NULL DEFAULT '{}',
    ADD COLUMN latitude       double precision,
    ADD COLUMN longitude      double precision,
    -- A calendar as solmu-domain writes it; absent: always.
    ADD COLUMN hours          jsonb,
    -- Until when the last heartbeat holds; absent: nobody sends any.
    ADD COLUMN alive_until    timestamptz;
CREATE INDEX agent_alive ON routing.agent (alive_until) WHERE alive_until IS NOT NULL AND presence <> 'offline';

ALTER TABLE routing.agent_team ADD COLUMN backup boolean NOT NULL DEFAULT false;

CREATE TABLE routing.absence (
    agent_id  uuid        NOT NULL REFERENCES routing.agent (id) ON DELETE CASCADE,
    starts_at timestamptz NOT NULL,
    ends_at   timestamptz NOT NULL CHECK (ends_at > starts_at),
    PRIMARY KEY (agent_id, starts_at)
);

-- A rule that goes on has no team.
ALTER TABLE routing.rule ALTER COLUMN team_id DROP NOT NULL;
ALTER TABLE routing.rule
    ADD COLUMN agent_id uuid REFERENCES routing.agent (id),
    ADD COLUMN skills   jsonb   NOT NULL DEFAULT '[]',
    ADD COLUMN vip      boolean NOT NULL DEFAULT false,
    ADD COLUMN hold_s   integer NOT NULL DEFAULT 0,
    ADD COLUMN goes_on  boolean NOT NULL DEFAULT false,
    ADD CONSTRAINT rule_has_team CHECK (goes_on OR team_id IS NOT NULL);

-- What a rule said in each version. Append-only.
CREATE TABLE routing.rule_version (
    rule_id    uuid        NOT NULL,
    version    bigint      NOT NULL,
    rule       jsonb       NOT NULL,
    deleted    boolean     NOT NULL,
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (rule_id, version, deleted)
);

ALTER TABLE routing.ticket
    ADD COLUMN contact_id uuid,
    ADD COLUMN former_id  uuid,
    ADD COLUMN excluded   jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN touched_at timestamptz;
-- Who had the last ticket of a contact.
CREATE INDEX ticket_contact ON routing.ticket (contact_id, touched_at) WHERE assignee_id IS NOT NULL;
-- The last tickets, for trying out a rule.
CREATE INDEX ticket_created ON routing.ticket (created_at);
-- How fast a team takes tickets.
CREATE INDEX decision_taken ON routing.decision (team_id, decided_at) WHERE agent_id IS NOT NULL;
