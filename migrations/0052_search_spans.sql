-- Spans of time in the index of the search, in place of days and months.
--
-- A lexeme carries the number of the span of time that its document is from ('17:lasku'). So each span has lists of its own
-- in the index, and a search reads the lists of its words in the newest spans only. Before, days were lexemes beside the
-- words, and the index had to compare the list of a word over all years with that of a day.

-- A span ends where the next one begins. The first one of a month begins with it (UTC); within a month another one begins
-- when the last one is full, so that a span of a large desk has about as many documents as one of a small desk.
CREATE TABLE tickets.search_span (
    id        bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    starts    timestamptz NOT NULL UNIQUE,
    -- About how many there are; counted again before it decides anything.
    documents bigint      NOT NULL DEFAULT 0
);

-- What the index has of a text: its words, with the span's number before each.
CREATE FUNCTION tickets.search_labelled(span bigint, words tsvector) RETURNS tsvector
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT substr(replace(' ' || words::text, ' ''', ' ''' || span || ':'), 2)::tsvector
$$;

-- body: words that are folded already. In all three languages, whatever the ticket's language is said to be: that of a form
-- is the language of its page, and people write in their own.
DROP FUNCTION tickets.search_words(text, text);
CREATE FUNCTION tickets.search_words(body text) RETURNS tsvector
    LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT to_tsvector('pg_catalog.simple', body) || to_tsvector('pg_catalog.finnish', body)
        || to_tsvector('pg_catalog.swedish', body) || to_tsvector('pg_catalog.english', body)
$$;

DROP FUNCTION tickets.search_matches(tsquery, text[], timestamptz, uuid, bigint);

-- The newest matches before a position. windows: what is asked for, as a tsquery of the words of some spans each, the newest
-- first; `since` is where the first window begins. Before the index is asked, the newest documents are read as they are:
-- words that stand in every tenth message have thousands of matches in a span, and a page of them is found by reading what
-- costs about one look into the index; more are read if the first ones said that it is worth it. An index answers the rest,
-- always: for a word that many messages have, the planner would rather read every document, words and all.
CREATE FUNCTION tickets.search_matches(windows text[], since timestamptz, before timestamptz, before_id uuid, wanted bigint)
    RETURNS TABLE (created_at timestamptz, id uuid, ticket_id uuid, is_message boolean)
    LANGUAGE plpgsql STABLE
    SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
    asked   tsquery := windows[1]::tsquery;
    asking  text;
    missing bigint := wanted;
    found   bigint;
    newest  bigint;
    last    record;
BEGIN
    FOREACH newest IN ARRAY ARRAY[150, 1000] LOOP
        RETURN QUERY
            SELECT document.created_at, document.id, document.ticket_id, document.is_message
            FROM (SELECT * FROM tickets.search_document AS document
                WHERE (document.created_at, document.id) < (before, before_id) AND document.created_at >= since
                ORDER BY document.created_at DESC, document.id DESC LIMIT newest) AS document
            WHERE document.words @@ asked LIMIT missing;
        GET DIAGNOSTICS found = ROW_COUNT;
        missing := missing - found;
        IF missing <= 0 THEN
            RETURN;
        END IF;
        SELECT document.created_at, document.id INTO last FROM tickets.search_document AS document
            WHERE (document.created_at, document.id) < (before, before_id) AND document.created_at >= since
            ORDER BY document.created_at DESC, document.id DESC OFFSET newest - 1 LIMIT 1;
        IF last.id IS NULL THEN
            -- The first window was read to its end.
            windows := windows[2:];
            EXIT;
        END IF;
        before := last.created_at;
        before_id := last.id;
        EXIT WHEN found * 10 < newest;
    END LOOP;
    FOREACH asking IN ARRAY windows LOOP
        asked := asking::tsquery;
        RETURN QUERY
            WITH matching AS MATERIALIZED (
                SELECT document.created_at, document.id, document.ticket_id, document.is_message
                FROM tickets.search_document AS document WHERE document.words @@ asked)
            SELECT matching.created_at, matching.id, matching.ticket_id, matching.is_message FROM matching
            WHERE (matching.created_at, matching.id) < (before, before_id)
            ORDER BY matching.created_at DESC, matching.id DESC LIMIT missing;
        GET DIAGNOSTICS found = ROW_COUNT;
        missing := missing - found;
        EXIT WHEN missing <= 0;
    END LOOP;
END
$$;

-- Everything is indexed again, in its new form.
TRUNCATE tickets.search_document;
TRUNCATE tickets.search_queue;
INSERT INTO tickets.search_queue (is_message, document) SELECT true, id FROM tickets.message ORDER BY created_at, id;
INSERT INTO tickets.search_queue (is_message, document) SELECT false, id FROM tickets.ticket ORDER BY created_at, id;

-- Every search reads all of the pending list for each of its lexemes.
ALTER INDEX tickets.search_document_words SET (gin_pending_list_limit = 64);
