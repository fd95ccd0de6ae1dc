-- Merging of tickets: what moved, so that each merge can be taken back exactly.

-- merged_into: the ticket that this one became part of. moved_away: messages that left the ticket; message_count stays
-- the highest sequence that it ever gave out. touched: a person answered, noted or changed something.
ALTER TABLE tickets.ticket
    ADD COLUMN merged_into uuid,
    ADD COLUMN moved_away  bigint  NOT NULL DEFAULT 0,
    ADD COLUMN touched     boolean NOT NULL DEFAULT false;
CREATE INDEX ticket_merged_into ON tickets.ticket (merged_into) WHERE merged_into IS NOT NULL;
UPDATE tickets.ticket SET touched = true
WHERE status <> 'new' OR assign_reason LIKE 'by hand%' OR priority <> 'normal' OR EXISTS (
    SELECT 1 FROM tickets.message WHERE message.ticket_id = ticket.id AND message.author_kind <> 1);

-- A merge. It holds until unmerged_at.
CREATE TABLE tickets.ticket_merge (
    id            uuid        PRIMARY KEY,
    source_id     uuid        NOT NULL REFERENCES tickets.ticket DEFERRABLE INITIALLY DEFERRED,
    target_id     uuid        NOT NULL REFERENCES tickets.ticket DEFERRABLE INITIALLY DEFERRED,
    -- Where the source stood before.
    source_status text        NOT NULL,
    -- Addresses that take part in the target only because of it.
    participants  text[]      NOT NULL,
    actor_kind    smallint    NOT NULL,
    actor_id      text        NOT NULL,
    reason        text        NOT NULL,
    merged_at     timestamptz NOT NULL,
    unmerged_at   timestamptz
);
CREATE UNIQUE INDEX ticket_merge_source ON tickets.ticket_merge (source_id) WHERE unmerged_at IS NULL;
CREATE INDEX ticket_merge_target ON tickets.ticket_merge (target_id) WHERE unmerged_at IS NULL;

-- Where each message of a merge was.
CREATE TABLE tickets.merged_message (
    merge_id   uuid   NOT NULL REFERENCES tickets.ticket_merge,
    message_id uuid   NOT NULL,
    sequence   bigint NOT NULL,
    -- The target had the same one.
    request_id text,
    PRIMARY KEY (merge_id, message_id)
);

-- Who named a message that was not there yet: an answer that overtook it, or anybody who wrote its id. Empty: the
-- message itself is on the ticket, or is one of ours.
ALTER TABLE tickets.thread_key ADD COLUMN named_by text NOT NULL DEFAULT '';

-- 'split': the first message of ticket_id was on other_id before.
ALTER TABLE tickets.ticket_link DROP CONSTRAINT ticket_link_kind_check;
ALTER TABLE tickets.ticket_link
    ADD CONSTRAINT ticket_link_kind_check CHECK (kind IN ('mentions', 'same_thread', 'split'));
