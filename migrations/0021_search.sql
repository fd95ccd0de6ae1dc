-- Full-text search, lists by filter, saved views.

-- What can be found: one row for each message, and one for each ticket (its own fields and its contact). Kept apart from
-- both, so that neither their rows nor filing carry it. Words stand outside of the row: a search reads thousands of rows
-- and none of the words.
CREATE TABLE tickets.search_document (
    -- Of the message or the ticket.
    id         uuid        PRIMARY KEY,
    ticket_id  uuid        NOT NULL,
    is_message boolean     NOT NULL,
    created_at timestamptz NOT NULL,
    -- Also '@d20260430' and '@m202604', day and month in UTC: a search asks for the newest days first and stops.
    words      tsvector    NOT NULL
) WITH (toast_tuple_target = 128, fillfactor = 95);
CREATE INDEX search_document_time ON tickets.search_document (created_at, id);
-- The pending list is short, because every search reads all of it.
CREATE INDEX search_document_words ON tickets.search_document USING gin (words)
    WITH (fastupdate = on, gin_pending_list_limit = 1024);

-- What is to be indexed again, filled by triggers: so nothing that changes a text can forget to. An id may stand in it
-- more than once.
CREATE TABLE tickets.search_queue (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    is_message boolean     NOT NULL,
    document   uuid        NOT NULL,
    queued_at  timestamptz NOT NULL DEFAULT now()
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000, autovacuum_analyze_scale_factor = 0,
    autovacuum_analyze_threshold = 100000);

-- body: words that are folded already. Of an unknown language, any of the three may be asked for; of a fourth one, the
-- words themselves have to do.
CREATE FUNCTION tickets.search_words(body text, language text) RETURNS tsvector
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT to_tsvector('pg_catalog.simple', body) || CASE left(language, 2)
        WHEN 'fi' THEN to_tsvector('pg_catalog.finnish', body)
        WHEN 'sv' THEN to_tsvector('pg_catalog.swedish', body)
        WHEN 'en' THEN to_tsvector('pg_catalog.english', body)
        WHEN '' THEN to_tsvector('pg_catalog.finnish', body) || to_tsvector('pg_catalog.swedish', body)
            || to_tsvector('pg_catalog.english', body)
        ELSE '' END
$$;

CREATE FUNCTION tickets.search_message_added() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO tickets.search_queue (is_message, document) SELECT true, id FROM added;
    RETURN NULL;
END
$$;
CREATE TRIGGER search_message_added AFTER INSERT ON tickets.message
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION tickets.search_message_added();

-- What changed is no longer found by what it was, from the moment of the change on: erasure counts on that.
CREATE FUNCTION tickets.search_message_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM tickets.search_document WHERE id = OLD.id;
    IF TG_OP = 'UPDATE' THEN
        INSERT INTO tickets.search_queue (is_message, document) VALUES (true, OLD.id);
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER search_message_changed
    AFTER UPDATE OF subject, body_text, author_name, address, fields, attachments ON tickets.message FOR EACH ROW
    WHEN (OLD.body_text IS DISTINCT FROM NEW.body_text OR OLD.subject IS DISTINCT FROM NEW.subject
        OR OLD.author_name IS DISTINCT FROM NEW.author_name OR OLD.address IS DISTINCT FROM NEW.address
        OR OLD.fields IS DISTINCT FROM NEW.fields OR OLD.attachments IS DISTINCT FROM NEW.attachments)
    EXECUTE FUNCTION tickets.search_message_changed();
CREATE TRIGGER search_message_removed AFTER DELETE ON tickets.message
    FOR EACH ROW EXECUTE FUNCTION tickets.search_message_changed();

-- A merge or split. Queued too, for a message that is being indexed at this moment.
CREATE FUNCTION tickets.search_message_moved() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE tickets.search_document SET ticket_id = NEW.ticket_id WHERE id = NEW.id;
    INSERT INTO tickets.search_queue (is_message, document) VALUES (true, NEW.id);
    RETURN NULL;
END
$$;
CREATE TRIGGER search_message_moved AFTER UPDATE OF ticket_id ON tickets.message FOR EACH ROW
    WHEN (OLD.ticket_id IS DISTINCT FROM NEW.ticket_id) EXECUTE FUNCTION tickets.search_message_moved();

CREATE FUNCTION tickets.search_ticket_added() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO tickets.search_queue (is_message, document) SELECT false, id FROM added;
    RETURN NULL;
END
$$;
CREATE TRIGGER search_ticket_added AFTER INSERT ON tickets.ticket
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION tickets.search_ticket_added();

CREATE FUNCTION tickets.search_ticket_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM tickets.search_document WHERE id = OLD.id;
    INSERT INTO tickets.search_queue (is_message, document) VALUES (false, OLD.id);
    RETURN NULL;
END
$$;
CREATE TRIGGER search_ticket_changed
    AFTER UPDATE OF subject, category, tags, fields, contact_id ON tickets.ticket FOR EACH ROW
    WHEN (OLD.subject IS DISTINCT FROM NEW.subject OR OLD.category IS DISTINCT FROM NEW.category
        OR OLD.tags IS DISTINCT FROM NEW.tags OR OLD.fields IS DISTINCT FROM NEW.fields
        OR OLD.contact_id IS DISTINCT FROM NEW.contact_id)
    EXECUTE FUNCTION tickets.search_ticket_changed();

CREATE FUNCTION tickets.search_contact_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM tickets.search_document USING tickets.ticket
        WHERE ticket.contact_id = NEW.id AND search_document.id = ticket.id;
    INSERT INTO tickets.search_queue (is_message, document) SELECT false, id FROM tickets.ticket WHERE contact_id = NEW.id;
    RETURN NULL;
END
$$;
CREATE TRIGGER search_contact_changed AFTER UPDATE OF display_name ON tickets.contact FOR EACH ROW
    WHEN (OLD.display_name IS DISTINCT FROM NEW.display_name) EXECUTE FUNCTION tickets.search_contact_changed();

CREATE FUNCTION tickets.search_identity_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO tickets.search_queue (is_message, document)
        SELECT DISTINCT false, ticket.id FROM changed JOIN tickets.ticket ON ticket.contact_id = changed.contact_id;
    RETURN NULL;
END
$$;
CREATE TRIGGER search_identity_added AFTER INSERT ON tickets.identity
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION tickets.search_identity_changed();
CREATE TRIGGER search_identity_removed AFTER DELETE ON tickets.identity
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION tickets.search_identity_changed();

INSERT INTO tickets.search_queue (is_message, document) SELECT true, id FROM tickets.message ORDER BY created_at;
INSERT INTO tickets.search_queue (is_message, document) SELECT false, id FROM tickets.ticket;

-- Lists: each index is in the order of the list, of those that a list shows. What is not resolved or closed is a small
-- part of all tickets, and most of what people look at.
DROP INDEX tickets.ticket_urgency;
CREATE INDEX ticket_queue ON tickets.ticket (coalesce(next_due, 'infinity'), id) WHERE merged_into IS NULL;
CREATE INDEX ticket_queue_team ON tickets.ticket (team_id, coalesce(next_due, 'infinity'), id)
    WHERE merged_into IS NULL AND status NOT IN ('resolved', 'closed');
CREATE INDEX ticket_queue_assignee ON tickets.ticket (assignee_id, coalesce(next_due, 'infinity'), id)
    WHERE merged_into IS NULL AND status NOT IN ('resolved', 'closed');
CREATE INDEX ticket_queue_open ON tickets.ticket (coalesce(next_due, 'infinity'), id)
    WHERE merged_into IS NULL AND status NOT IN ('resolved', 'closed');
CREATE INDEX ticket_created ON tickets.ticket (created_at, id) WHERE merged_into IS NULL;
CREATE INDEX ticket_tags ON tickets.ticket USING gin (tags) WHERE tags <> '{}';

-- Filters under a name.
CREATE TABLE tickets.saved_view (
    id           uuid        PRIMARY KEY,
    display_name text        NOT NULL,
    filter       text        NOT NULL,
    order_by     text        NOT NULL DEFAULT '',
    time_zone    text        NOT NULL DEFAULT '',
    -- Null: of its maker alone.
    team_id      uuid,
    created_by   text        NOT NULL,
    version      bigint      NOT NULL DEFAULT 1,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    request_id   text
);
CREATE INDEX saved_view_owner ON tickets.saved_view (created_by, display_name, id) WHERE team_id IS NULL;
CREATE INDEX saved_view_team ON tickets.saved_view (team_id, display_name, id) WHERE team_id IS NOT NULL;
CREATE UNIQUE INDEX saved_view_request ON tickets.saved_view (created_by, request_id) WHERE request_id IS NOT NULL;
