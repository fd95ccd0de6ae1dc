-- What agents work with beside the tickets themselves: the log of changes, and who looks at what.

-- The log of what happened to a ticket. Each entry's hash covers the hash before it; a reason stands beside its entry,
-- which holds only a salted digest of it, so that it can be erased with the contact's data and the chain stays whole.
CREATE TABLE tickets.activity (
    ticket_id uuid   NOT NULL,
    -- From 1, without gaps; given under the ticket's row lock.
    sequence  bigint NOT NULL,
    -- Encoded solmu.ticket.v1.Activity without reason and hash.
    entry     bytea  NOT NULL,
    reason    text   NOT NULL DEFAULT '',
    salt      bytea  NOT NULL DEFAULT '',
    hash      bytea  NOT NULL,
    PRIMARY KEY (ticket_id, sequence)
);

CREATE FUNCTION tickets.activity_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF NEW.reason = '' AND NEW.salt = '' AND NEW.ticket_id = OLD.ticket_id AND NEW.sequence = OLD.sequence
            AND NEW.entry = OLD.entry AND NEW.hash = OLD.hash THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'tickets.activity is only ever added to' USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER activity_is_kept BEFORE UPDATE OR DELETE ON tickets.activity
    FOR EACH ROW EXECUTE FUNCTION tickets.activity_is_kept();
CREATE TRIGGER activity_is_kept_whole BEFORE TRUNCATE ON tickets.activity
    FOR EACH STATEMENT EXECUTE FUNCTION tickets.activity_is_kept();

-- Who has a ticket open. Rows live for seconds and mean nothing after a crash: not logged, so they cost no sync.
CREATE UNLOGGED TABLE tickets.viewer (
    ticket_id  uuid        NOT NULL,
    actor_kind smallint    NOT NULL,
    actor_id   text        NOT NULL,
    session    text        NOT NULL,
    viewing    smallint    NOT NULL,
    since      timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (ticket_id, actor_kind, actor_id, session)
);
CREATE INDEX viewer_expired ON tickets.viewer (expires_at);

-- Canned answers and macros. Few, so that a list is by name and needs no more than that.
CREATE TABLE tickets.desk_item (
    id         uuid        PRIMARY KEY,
    -- 1: canned answer, 2: macro.
    kind       smallint    NOT NULL,
    name       text        NOT NULL,
    -- Whose tickets it is for, and whose it is; null: everybody's.
    team_id    uuid,
    agent_id   uuid,
    -- Encoded solmu.ticket.v1.CannedAnswer or Macro, without what stands in columns.
    content    bytea       NOT NULL,
    created_by text        NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    version    bigint      NOT NULL DEFAULT 1,
    request_id text
);
CREATE INDEX desk_item_name ON tickets.desk_item (kind, name, id);
CREATE UNIQUE INDEX desk_item_request ON tickets.desk_item (kind, created_by, request_id) WHERE request_id IS NOT NULL;
