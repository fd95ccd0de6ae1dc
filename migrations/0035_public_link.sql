-- Links by which requesters read their tickets without signing in. What proves a link is its signature: a copy of this
-- table opens nothing.
CREATE TABLE tickets.public_link (
    id         uuid        PRIMARY KEY,
    ticket_id  uuid        NOT NULL REFERENCES tickets.ticket DEFERRABLE INITIALLY DEFERRED,
    -- The requester that it was made for.
    contact_id uuid        NOT NULL,
    created_by text        NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    revoked_by text        NOT NULL DEFAULT '',
    request_id text
);
CREATE INDEX public_link_ticket ON tickets.public_link (ticket_id, created_at DESC, id DESC);
CREATE INDEX public_link_contact ON tickets.public_link (contact_id);
CREATE INDEX public_link_expiry ON tickets.public_link (expires_at);
CREATE UNIQUE INDEX public_link_request ON tickets.public_link (ticket_id, request_id) WHERE request_id IS NOT NULL;
