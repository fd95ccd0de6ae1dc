-- Rules that restrict tickets as they are opened.

ALTER TABLE routing.rule
    ADD COLUMN restricts          boolean NOT NULL DEFAULT false,
    -- Whom it names besides its team.
    ADD COLUMN restrict_agent_ids uuid[]  NOT NULL DEFAULT '{}',
    ADD COLUMN restrict_team_ids  uuid[]  NOT NULL DEFAULT '{}';

-- Enabled rules that restrict. Written by the router in the transaction that saves the rule; read by the ticket service in
-- the transaction that opens a ticket, so that it is never seen by others. Asking the router, or being told by it later,
-- would leave a time in between.
CREATE TABLE access.restricting_rule (
    rule_id      uuid    PRIMARY KEY,
    version      bigint  NOT NULL,
    position     integer NOT NULL,
    display_name text    NOT NULL,
    condition    text    NOT NULL,
    -- Of its hour and weekday.
    zone         text    NOT NULL,
    priority     text,
    tags         text[]  NOT NULL,
    team_id      uuid    NOT NULL,
    -- Whom it names, its team included.
    agent_ids    uuid[]  NOT NULL,
    team_ids     uuid[]  NOT NULL
);
