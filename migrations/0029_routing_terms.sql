-- Teams that follow the sun, zones of rules, and what is needed to remove old offers.

ALTER TABLE routing.team
    -- Helpers may take its tickets at once while none of its own agents is inside their working hours.
    ADD COLUMN follow_sun boolean NOT NULL DEFAULT false;

-- Of the fields hour and weekday; empty: the configured one.
ALTER TABLE routing.rule ADD COLUMN zone text NOT NULL DEFAULT '';

-- Offers that have ended are removed after a time, and so are questions for the next ticket that nobody waits for.
CREATE INDEX offer_ended ON routing.offer (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX pull_age ON routing.pull (asked_at);
