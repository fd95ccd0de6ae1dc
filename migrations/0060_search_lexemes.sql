-- The forms of words are made by the ticket service (crate solmu-ticketsearch, lexemes.rs), and not by PostgreSQL's
-- dictionaries: these cost more than all the rest of filing a message, and differ between versions of PostgreSQL.
DROP FUNCTION tickets.search_words(text);
DROP FUNCTION tickets.search_labelled(bigint, tsvector);

-- Words of a document are unpacked for each phrase that is looked for; LZ4 does that several times faster, where PostgreSQL
-- was built with it.
DO $$
BEGIN
    ALTER TABLE tickets.search_document ALTER COLUMN words SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported THEN
    RAISE NOTICE 'this PostgreSQL has no LZ4: phrases are looked for more slowly';
END
$$;

-- Everything is indexed again, in its new form.
TRUNCATE tickets.search_document;
TRUNCATE tickets.search_queue;
INSERT INTO tickets.search_queue (is_message, document) SELECT true, id FROM tickets.message ORDER BY created_at, id;
INSERT INTO tickets.search_queue (is_message, document) SELECT false, id FROM tickets.ticket ORDER BY created_at, id;
