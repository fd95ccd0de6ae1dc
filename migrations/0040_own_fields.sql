-- Fields of contacts and organisations in the conditions of rules and policies, and what an erasure leaves there.

-- Organisations have fields of their own, as contacts do.
ALTER TABLE tickets.organization ADD COLUMN attributes jsonb NOT NULL DEFAULT '{}';

-- Whose field it is: contact or organization. One name may be a field of both.
ALTER TABLE tickets.contact_attribute ADD COLUMN subject text NOT NULL DEFAULT 'contact';
ALTER TABLE tickets.contact_attribute DROP CONSTRAINT contact_attribute_pkey;
ALTER TABLE tickets.contact_attribute ADD PRIMARY KEY (subject, name);

-- Whose data was removed, and when: an event from before that comes late, or is replayed out of the dead letters, must not
-- bring it back.
CREATE TABLE routing.erased_contact (
    contact_id uuid        PRIMARY KEY,
    erased_at  timestamptz NOT NULL
);
CREATE TABLE sla.erased_contact (
    contact_id uuid        PRIMARY KEY,
    erased_at  timestamptz NOT NULL
);

-- What an erasure empties.
CREATE INDEX ticket_contact_fields ON routing.ticket (contact_id) WHERE fields <> '{}';

ALTER TABLE sla.ticket_clock
    -- What policies look at, as of the newest event that may have changed it; null in rows of the release before.
    ADD COLUMN facts            jsonb,
    -- Of the facts.
    ADD COLUMN contact_id       uuid,
    ADD COLUMN organization_ids uuid[];
UPDATE sla.ticket_clock SET facts = unpromised -> 'facts', contact_id = (unpromised -> 'facts' ->> 'contact')::uuid
WHERE unpromised IS NOT NULL;
CREATE INDEX ticket_clock_contact ON sla.ticket_clock (contact_id) WHERE contact_id IS NOT NULL;
CREATE INDEX ticket_clock_organizations ON sla.ticket_clock USING gin (organization_ids)
    WHERE open AND organization_ids <> '{}';

-- Contacts and organisations whose fields changed, on their way to the open tickets that policies may choose for anew.
CREATE TABLE sla.own_change (
    id           bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    subject_id   uuid        NOT NULL,
    organization boolean     NOT NULL,
    -- The last ticket that it has reached.
    after        uuid        NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    changed_at   timestamptz NOT NULL
);
