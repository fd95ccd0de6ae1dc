-- Offers, pulls, taking work back, removing agents and teams, and more of a ticket for rules to look at.

ALTER TABLE routing.team
    ADD COLUMN mode              text NOT NULL DEFAULT 'direct' CHECK (mode IN ('direct', 'offer', 'pull')),
    -- How long an offer stands, and how long its ticket is not offered again to who did not take it.
    ADD COLUMN offer_s           integer NOT NULL DEFAULT 30 CHECK (offer_s > 0),
    ADD COLUMN decline_s         integer NOT NULL DEFAULT 900 CHECK (decline_s >= 0),
    ADD COLUMN take_back         text NOT NULL DEFAULT 'untouched' CHECK (take_back IN ('never', 'untouched', 'all')),
    ADD COLUMN take_back_after_s integer NOT NULL DEFAULT 900 CHECK (take_back_after_s >= 0),
    -- Absent: never.
    ADD COLUMN rebalance_s       integer CHECK (rebalance_s >= 0),
    -- Removed; decisions still name it.
    ADD COLUMN archived_at       timestamptz;
DROP INDEX routing.team_name;
CREATE UNIQUE INDEX team_name ON routing.team (lower(display_name)) WHERE archived_at IS NULL;

ALTER TABLE routing.agent
    ADD COLUMN archived_at   timestamptz,
    -- Offers in a row that ran out without a word.
    ADD COLUMN missed_offers integer NOT NULL DEFAULT 0;
DROP INDEX routing.agent_email;
CREATE UNIQUE INDEX agent_email ON routing.agent (lower(email)) WHERE email <> '' AND archived_at IS NULL;
CREATE INDEX agent_missed ON routing.agent (id) WHERE missed_offers > 0;

-- A wider check than before: rows of the release before hold.
ALTER TABLE routing.ticket DROP CONSTRAINT ticket_state_check;
ALTER TABLE routing.ticket
    ADD CONSTRAINT ticket_state_check
        CHECK (state IN ('waiting', 'offered', 'reserved', 'assigned', 'moving', 'done')),
    -- Who took an offer of it: they get it without another one.
    ADD COLUMN promised_id      uuid,
    -- Its owner answered it.
    ADD COLUMN worked           boolean NOT NULL DEFAULT false,
    -- When the router last took it from its owner.
    ADD COLUMN moved_at         timestamptz,
    -- When a person gave it to its owner.
    ADD COLUMN handed_at        timestamptz,
    ADD COLUMN category         text  NOT NULL DEFAULT '',
    ADD COLUMN organization_ids jsonb NOT NULL DEFAULT '[]',
    -- {"country": ["FI"]}
    ADD COLUMN fields           jsonb NOT NULL DEFAULT '{}';

ALTER TABLE routing.decision DROP CONSTRAINT decision_outcome_check;
ALTER TABLE routing.decision
    ADD CONSTRAINT decision_outcome_check
        CHECK (outcome IN ('reserved', 'applied', 'rejected', 'offered', 'accepted', 'declined', 'timed_out', 'withdrawn')),
    ADD COLUMN kind        text NOT NULL DEFAULT 'assigned',
    -- Whom it takes the ticket from.
    ADD COLUMN previous_id uuid;

-- Tickets that agents are asked whether they take them. The id is that of the decision. The leader opens and ends them;
-- agents answer ('accepting', 'declining'), whichever replica they ask.
CREATE TABLE routing.offer (
    id         uuid        PRIMARY KEY,
    ticket_id  uuid        NOT NULL,
    team_id    uuid        NOT NULL,
    agent_id   uuid        NOT NULL,
    state      text        NOT NULL CHECK (state IN
        ('open', 'accepting', 'declining', 'accepted', 'declined', 'timed_out', 'withdrawn')),
    -- What who declined it said.
    reason     text        NOT NULL DEFAULT '',
    offered_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    ended_at   timestamptz
) WITH (fillfactor = 70);
CREATE INDEX offer_open ON routing.offer (agent_id) WHERE state = 'open';
CREATE INDEX offer_answered ON routing.offer (id) WHERE state IN ('accepting', 'declining');

-- Agents who ask for the next ticket; the leader answers, and who asked takes the row away.
CREATE TABLE routing.pull (
    id        uuid        PRIMARY KEY,
    agent_id  uuid        NOT NULL,
    -- Absent: of any of their teams.
    team_id   uuid,
    state     text        NOT NULL CHECK (state IN ('asked', 'given', 'nothing')),
    asked_at  timestamptz NOT NULL,
    ticket_id uuid,
    reason    text        NOT NULL DEFAULT ''
);
CREATE INDEX pull_asked ON routing.pull (asked_at, id) WHERE state = 'asked';

-- What their owners did before is not known here: work that somebody has stays theirs.
UPDATE routing.ticket SET worked = true WHERE state = 'assigned';
