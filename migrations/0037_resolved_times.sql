-- When tickets from before were over, in a transaction of its own, which locks nothing but their rows: the last change is the
-- best that is known.

UPDATE tickets.ticket SET resolved_at = updated_at, closed_at = CASE WHEN status = 'closed' THEN updated_at END
WHERE status IN ('resolved', 'closed') AND resolved_at IS NULL;
