-- A search asks the index for each window of time. Before, it first read the newest documents as they are, for words that
-- every tenth document has: spans are short now (0052), and reading the words of 150 documents costs more than the index.
--
-- Phrases: the index knows which documents have the words, not whether side by side, and reading the words of a document
-- to see that costs a hundred times as much as finding it. So the index is asked for documents with the words (`loose`,
-- one for each window), and these are looked at one by one, the newest first, until enough are found, or `candidates`
-- were looked at: then the last row is the last candidate, without a ticket.
DROP FUNCTION tickets.search_matches(text[], timestamptz, timestamptz, uuid, bigint);
CREATE FUNCTION tickets.search_matches(windows text[], loose text[], before timestamptz, before_id uuid, wanted bigint,
        candidates bigint)
    RETURNS TABLE (created_at timestamptz, id uuid, ticket_id uuid, is_message boolean)
    LANGUAGE plpgsql STABLE
    SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
    asked   tsquery;
    wide    tsquery;
    missing bigint := wanted;
    found   bigint;
    looked  uuid[];
BEGIN
    FOR place IN 1 .. cardinality(windows) LOOP
        asked := windows[place]::tsquery;
        IF loose IS NULL THEN
            RETURN QUERY
                WITH matching AS MATERIALIZED (
                    SELECT document.created_at, document.id, document.ticket_id, document.is_message
                    FROM tickets.search_document AS document WHERE document.words @@ asked)
                SELECT matching.created_at, matching.id, matching.ticket_id, matching.is_message FROM matching
                WHERE (matching.created_at, matching.id) < (before, before_id)
                ORDER BY matching.created_at DESC, matching.id DESC LIMIT missing;
        ELSE
            wide := loose[place]::tsquery;
            looked := ARRAY(
                WITH matching AS MATERIALIZED (
                    SELECT document.created_at, document.id
                    FROM tickets.search_document AS document WHERE document.words @@ wide)
                SELECT matching.id FROM matching
                WHERE (matching.created_at, matching.id) < (before, before_id)
                ORDER BY matching.created_at DESC, matching.id DESC LIMIT candidates);
            -- In the order of the candidates, and no further than needed.
            RETURN QUERY
                SELECT document.created_at, document.id, document.ticket_id, document.is_message
                FROM unnest(looked) AS candidate (id) CROSS JOIN LATERAL (
                    SELECT * FROM tickets.search_document AS document
                    WHERE document.id = candidate.id AND document.words @@ asked LIMIT 1) AS document
                LIMIT missing;
        END IF;
        GET DIAGNOSTICS found = ROW_COUNT;
        missing := missing - found;
        EXIT WHEN missing <= 0;
        candidates := candidates - coalesce(cardinality(looked), 0);
        IF candidates <= 0 THEN
            RETURN QUERY SELECT document.created_at, document.id, NULL::uuid, NULL::boolean
                FROM tickets.search_document AS document WHERE document.id = looked[cardinality(looked)];
            EXIT;
        END IF;
    END LOOP;
END
$$;
