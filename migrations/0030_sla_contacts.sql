-- Who is told when a step notifies the lead or the manager of a team, and where the story of a ticket's clocks begins.

-- The nil team stands for every team without rows of its own, and for tickets without a team.
CREATE TABLE sla.team_contact (
    team_id  uuid    NOT NULL,
    role     text    NOT NULL CHECK (role IN ('lead', 'manager')),
    agent_id uuid    NOT NULL,
    -- In the order in which they were given.
    place    integer NOT NULL,
    PRIMARY KEY (team_id, role, agent_id)
);

ALTER TABLE sla.ticket_clock
    -- W3C traceparent of the event that opened the ticket: what a timer does days later is linked to it. Empty without a
    -- trace, and in rows of the release before.
    ADD COLUMN first_trace text NOT NULL DEFAULT '',
    -- Each timer that fires leaves a dead entry at the head of the index of wake_at, which every question for the next one
    -- walks over: with a million running clocks the default (a fifth of the table) lets 200,000 of them gather.
    SET (autovacuum_vacuum_scale_factor = 0.02);

-- The teams of agents, beside their addresses: a step that notifies a team means its members.
ALTER TABLE tickets.agent ADD COLUMN team_ids uuid[] NOT NULL DEFAULT '{}';
