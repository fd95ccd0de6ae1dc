-- Lists and counts by tag and category that cost what they show, however many closed tickets there are.

-- Of open tickets, which are few and most of what people look at: with the indexes over all tickets alone, a list of the
-- open ones with a common tag reads the tag's entries of many years.
CREATE INDEX ticket_tags_open ON tickets.ticket USING gin (tags)
    WHERE merged_into IS NULL AND status NOT IN ('resolved', 'closed') AND tags <> '{}';
CREATE INDEX ticket_category_open ON tickets.ticket (category text_pattern_ops)
    WHERE merged_into IS NULL AND status NOT IN ('resolved', 'closed') AND category <> '';

-- In the order of lists by time: the newest of a category or a team, and how many of a month, closed ones too.
CREATE INDEX ticket_category_created ON tickets.ticket (category, created_at, id)
    WHERE merged_into IS NULL AND category <> '';
CREATE INDEX ticket_team_created ON tickets.ticket (team_id, created_at, id) WHERE merged_into IS NULL;
