-- Searches in one call, whatever the planner thinks of a word.

-- The newest matches of `asked` before a position. windows: days and months as a tsquery each, newest first; it looks into
-- one after the other until it has enough. An index answers it, always: for a word that many messages have, the planner
-- would rather read every document from one end to the other, words and all.
CREATE FUNCTION tickets.search_matches(asked tsquery, windows text[], before timestamptz, before_id uuid, wanted bigint)
    RETURNS TABLE (created_at timestamptz, id uuid, ticket_id uuid, is_message boolean)
    LANGUAGE plpgsql STABLE
    SET enable_seqscan = off SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
    days    text;
    missing bigint := wanted;
    found   bigint;
BEGIN
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

-- Every search reads all of the pending list, several times: kept to what that costs nothing of.
ALTER INDEX tickets.search_document_words SET (gin_pending_list_limit = 256);
