-- What a merge ends on the ticket that becomes part of another one, beside its status: given back when it is taken back.
ALTER TABLE tickets.ticket_merge
    ADD COLUMN source_substatus text NOT NULL DEFAULT '',
    ADD COLUMN source_snoozed boolean NOT NULL DEFAULT false,
    ADD COLUMN source_wake_at timestamptz,
    ADD COLUMN source_close_at timestamptz,
    -- Where the target stood and where the merge left it; null: the merge left it where it was.
    ADD COLUMN target_status text,
    ADD COLUMN target_left text,
    ADD COLUMN target_substatus text NOT NULL DEFAULT '',
    ADD COLUMN target_snoozed boolean NOT NULL DEFAULT false,
    ADD COLUMN target_wake_at timestamptz,
    ADD COLUMN target_close_at timestamptz,
    ADD COLUMN target_resolved_at timestamptz,
    -- The last sequence that the target had; null: not known of a merge before this migration.
    ADD COLUMN base bigint;

-- Tickets that were restricted together: which call took each of them along, and whose it was before.
CREATE TABLE tickets.restricted_kin (
    ticket_id         uuid PRIMARY KEY,
    -- The ticket that was meant.
    root_id           uuid NOT NULL,
    team_id           uuid,
    assignee_id       uuid,
    given_team_id     uuid,
    given_assignee_id uuid
);
CREATE INDEX restricted_kin_root ON tickets.restricted_kin (root_id);

-- The last entry of the log of each ticket, beside the log: a tail that was cut off is missed.
CREATE TABLE tickets.activity_head (
    ticket_id uuid   PRIMARY KEY,
    -- 0: of before the log, and none since.
    sequence  bigint NOT NULL,
    hash      bytea  NOT NULL
) WITH (fillfactor = 70);
INSERT INTO tickets.activity_head (ticket_id, sequence, hash)
SELECT ticket.id, coalesce(last.sequence, 0), coalesce(last.hash, decode(repeat('00', 32), 'hex'))
FROM tickets.ticket LEFT JOIN LATERAL (
    SELECT sequence, hash FROM tickets.activity WHERE activity.ticket_id = ticket.id ORDER BY sequence DESC LIMIT 1
) AS last ON true;

CREATE FUNCTION tickets.activity_head_goes_on() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF NEW.ticket_id = OLD.ticket_id AND NEW.sequence > OLD.sequence THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'tickets.activity_head only goes on' USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER activity_head_goes_on BEFORE UPDATE OR DELETE ON tickets.activity_head
    FOR EACH ROW EXECUTE FUNCTION tickets.activity_head_goes_on();
CREATE TRIGGER activity_head_is_kept BEFORE TRUNCATE ON tickets.activity_head
    FOR EACH STATEMENT EXECUTE FUNCTION tickets.activity_head_goes_on();
