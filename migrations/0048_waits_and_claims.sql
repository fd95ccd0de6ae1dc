-- Why a ticket waits is computed when somebody asks: what agents have is looked up by owner.
CREATE INDEX ticket_owner ON routing.ticket (owner_id) WHERE state <> 'done' AND owner_id IS NOT NULL;

-- Until when a call that somebody makes now is theirs, by the clock of the database: renewed while the call runs, so that
-- one whose sender died is free after seconds. Null between calls, and while the release before makes one: that one keeps
-- others away by next_at alone, which is therefore moved on as before.
ALTER TABLE sla.webhook_call ADD COLUMN claimed_until timestamptz;
CREATE INDEX webhook_call_claimed ON sla.webhook_call (claimed_until) WHERE claimed_until IS NOT NULL;
