-- Where the story of a ticket begins: W3C traceparent of what opened it, so that what timers do to it later (reminders,
-- waking, closing) is linked to it. Empty where that trace is not exported, and in rows of the release before.
ALTER TABLE tickets.ticket ADD COLUMN first_trace text NOT NULL DEFAULT '';
