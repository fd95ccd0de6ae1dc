-- Matches of a search, newest first (see 0028): the newest documents are read as they are before the index is asked.
--
-- Words that stand in every tenth message have thousands of matches a day on a large desk. Reading the newest documents
-- and looking for the words in them finds a page of those at once, for about what one look into the index costs; the
-- second time more are read, if the first time said that it is worth it. Where that finds too little, the index goes on
-- behind the last document that was read.
CREATE OR REPLACE FUNCTION tickets.search_matches(asked tsquery, windows text[], before timestamptz, before_id uuid, wanted bigint)
    RETURNS TABLE (created_at timestamptz, id uuid, ticket_id uuid, is_message boolean)
    LANGUAGE plpgsql STABLE
    SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
    days    text;
    missing bigint := wanted;
    found   bigint;
    newest  bigint;
    last    record;
BEGIN
    FOREACH newest IN ARRAY ARRAY[150, 1000] LOOP
        RETURN QUERY
            SELECT document.created_at, document.id, document.ticket_id, document.is_message
            FROM (SELECT * FROM tickets.search_document AS document
                WHERE (document.created_at, document.id) < (before, before_id)
                ORDER BY document.created_at DESC, document.id DESC LIMIT newest) AS document
            WHERE document.words @@ asked LIMIT missing;
        GET DIAGNOSTICS found = ROW_COUNT;
        missing := missing - found;
        IF missing <= 0 THEN
            RETURN;
        END IF;
        SELECT document.created_at, document.id INTO last FROM tickets.search_document AS document
            WHERE (document.created_at, document.id) < (before, before_id)
            ORDER BY document.created_at DESC, document.id DESC OFFSET newest - 1 LIMIT 1;
        IF last.id IS NULL THEN
            RETURN;
        END IF;
        before := last.created_at;
        before_id := last.id;
        EXIT WHEN found * 10 < newest;
    END LOOP;
    FOREACH days IN ARRAY windows LOOP
        RETURN QUERY
            WITH matching AS MATERIALIZED (
                SELECT document.created_at, document.id, document.ticket_id, document.is_message
                FROM tickets.search_document AS document WHERE document.words @@ (asked && days::tsquery))
            SELECT matching.created_at, matching.id, matching.ticket_id, matching.is_message FROM matching
            WHERE (matching.created_at, matching.id) < (before, before_id)
            ORDER BY matching.created_at DESC, matching.id DESC LIMIT missing;
        GET DIAGNOSTICS found = ROW_COUNT;
        missing := missing - found;
        EXIT WHEN missing <= 0;
    END LOOP;
END
$$;
