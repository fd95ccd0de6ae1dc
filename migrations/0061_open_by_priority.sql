-- Open tickets of a priority, the most urgent first: what filters of queues ask for, and a few of a million tickets.
CREATE INDEX ticket_queue_priority ON tickets.ticket (priority, coalesce(next_due, 'infinity'), id)
    WHERE status NOT IN ('resolved', 'closed') AND merged_into IS NULL;
