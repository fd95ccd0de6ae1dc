-- The order in which contacts were merged. Who stands for whom follows from it, and merges are made one at a time, but the
-- processes that make them have clocks of their own: the time of a merge does not say which of two was first.
CREATE SEQUENCE tickets.contact_merge_place;
ALTER TABLE tickets.contact_merge ADD COLUMN place bigint;
UPDATE tickets.contact_merge AS merge SET place = known.place
    FROM (SELECT id, row_number() OVER (ORDER BY created_at, id) AS place FROM tickets.contact_merge) AS known
    WHERE known.id = merge.id;
SELECT setval('tickets.contact_merge_place', 1 + (SELECT count(*) FROM tickets.contact_merge), false);
ALTER TABLE tickets.contact_merge
    ALTER COLUMN place SET DEFAULT nextval('tickets.contact_merge_place'),
    ALTER COLUMN place SET NOT NULL;
ALTER SEQUENCE tickets.contact_merge_place OWNED BY tickets.contact_merge.place;
