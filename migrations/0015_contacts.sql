-- Contacts in full: merges that can be taken back, what the resolver knows of senders, organisations, fields.

-- root_id: the contact that stands for this one while a merge holds; null if it stands for itself. It is what the
-- merges below say, kept here so that nothing has to walk them. Tickets, messages and identities keep the contact that
-- they came to: taking a merge back moves none of them.
ALTER TABLE tickets.contact
    ADD COLUMN root_id         uuid,
    ADD COLUMN time_zone       text        NOT NULL DEFAULT '',
    ADD COLUMN attributes      jsonb       NOT NULL DEFAULT '{}',
    ADD COLUMN organization_id uuid,
    ADD COLUMN manager         boolean     NOT NULL DEFAULT false,
    -- Grows with each change by hand, and with each merge.
    ADD COLUMN version         bigint      NOT NULL DEFAULT 1,
    ADD COLUMN updated_at      timestamptz,
    ADD COLUMN blocked_at      timestamptz,
    ADD COLUMN block_reason    text        NOT NULL DEFAULT '',
    ADD COLUMN erased_at       timestamptz,
    ADD COLUMN request_id      text;
CREATE INDEX contact_root ON tickets.contact (root_id) WHERE root_id IS NOT NULL;
CREATE INDEX contact_organization ON tickets.contact (organization_id, created_at DESC, id DESC)
    WHERE organization_id IS NOT NULL;
CREATE UNIQUE INDEX contact_request ON tickets.contact (request_id) WHERE request_id IS NOT NULL;

-- A merge: two contacts are one person until undone_at. No merge is made between contacts that are one already, so those
-- that hold are trees.
CREATE TABLE tickets.contact_merge (
    id          uuid        PRIMARY KEY,
    winner_id   uuid        NOT NULL REFERENCES tickets.contact,
    loser_id    uuid        NOT NULL REFERENCES tickets.contact,
    -- 'by_hand', or the rule of the resolver.
    rule        text        NOT NULL,
    -- Kind and value that both share; empty by hand.
    evidence    text        NOT NULL DEFAULT '',
    actor_kind  smallint    NOT NULL,
    actor_id    text        NOT NULL,
    reason      text        NOT NULL DEFAULT '',
    request_id  text,
    created_at  timestamptz NOT NULL,
    undone_at   timestamptz,
    undone_kind smallint,
    undone_by   text        NOT NULL DEFAULT '',
    undo_reason text        NOT NULL DEFAULT '',
    CHECK (winner_id <> loser_id)
);
CREATE UNIQUE INDEX contact_merge_pair ON tickets.contact_merge (least(winner_id, loser_id), greatest(winner_id, loser_id))
    WHERE undone_at IS NULL;
CREATE INDEX contact_merge_loser ON tickets.contact_merge (loser_id);
CREATE INDEX contact_merge_winner ON tickets.contact_merge (winner_id);
CREATE INDEX contact_merge_request ON tickets.contact_merge (request_id) WHERE request_id IS NOT NULL;

-- Two contacts that a person said are two people: the resolver never merges them again. first_id < second_id.
CREATE TABLE tickets.contact_apart (
    first_id   uuid        NOT NULL,
    second_id  uuid        NOT NULL,
    created_by text        NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (first_id, second_id),
    CHECK (first_id < second_id)
);
CREATE INDEX contact_apart_second ON tickets.contact_apart (second_id);

-- What messages said of their senders, each combination once: the evidence of the resolver.
CREATE TABLE tickets.sighting (
    -- UUIDv5 of contact, name and identifiers.
    id         uuid        PRIMARY KEY,
    contact_id uuid        NOT NULL,
    name       text        NOT NULL,
    -- [{kind, scope, raw, assurance}].
    evidence   jsonb       NOT NULL,
    seen_at    timestamptz NOT NULL,
    -- The resolver has not looked at it yet.
    pending    boolean     NOT NULL DEFAULT true
);
CREATE INDEX sighting_contact ON tickets.sighting (contact_id);
CREATE INDEX sighting_pending ON tickets.sighting (seen_at, id) WHERE pending;

-- The values of a sighting as they are compared.
CREATE TABLE tickets.sighting_value (
    kind        smallint NOT NULL,
    value       text     NOT NULL,
    sighting_id uuid     NOT NULL,
    PRIMARY KEY (kind, value, sighting_id)
);
CREATE INDEX sighting_value_sighting ON tickets.sighting_value (sighting_id);

-- Pairs that a person may merge. first_id < second_id.
CREATE TABLE tickets.merge_suggestion (
    first_id   uuid        NOT NULL,
    second_id  uuid        NOT NULL,
    reason     text        NOT NULL,
    kind       smallint    NOT NULL,
    value      text        NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (first_id, second_id),
    CHECK (first_id < second_id)
);
CREATE INDEX merge_suggestion_second ON tickets.merge_suggestion (second_id);
CREATE INDEX merge_suggestion_created ON tickets.merge_suggestion (created_at DESC, first_id DESC, second_id DESC);

CREATE TABLE tickets.organization (
    id           uuid        PRIMARY KEY,
    display_name text        NOT NULL,
    notes        text        NOT NULL DEFAULT '',
    version      bigint      NOT NULL DEFAULT 1,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    request_id   text        UNIQUE
);
CREATE INDEX organization_created ON tickets.organization (created_at DESC, id DESC);

-- Who writes from such a domain and belongs to no organisation by hand belongs to this one.
CREATE TABLE tickets.organization_domain (
    domain          text PRIMARY KEY,
    organization_id uuid NOT NULL REFERENCES tickets.organization ON DELETE CASCADE
);
CREATE INDEX organization_domain_of ON tickets.organization_domain (organization_id);

-- Fields of contacts that this deployment has besides ours.
CREATE TABLE tickets.contact_attribute (
    name         text        PRIMARY KEY CHECK (name ~ '^[a-z][a-z0-9_]{0,62}$'),
    display_name text        NOT NULL,
    -- text, number, boolean, date or choice.
    type         text        NOT NULL,
    choices      text[]      NOT NULL DEFAULT '{}',
    created_at   timestamptz NOT NULL
);

-- All that a contact wrote and was answered, newest first.
CREATE INDEX message_author ON tickets.message (author_id, created_at DESC, id DESC) WHERE author_kind = 1;

-- Who else needs an object: keys are made of the content, and the same file comes from many.
CREATE INDEX message_object ON tickets.message USING gin (attachments jsonb_path_ops) WHERE attachments <> '[]';
CREATE INDEX raw_original_object ON tickets.raw_original (object_key) WHERE object_key IS NOT NULL;

-- Objects of erased contacts, whose bytes are to be removed.
CREATE TABLE tickets.erased_object (
    key text PRIMARY KEY
);
