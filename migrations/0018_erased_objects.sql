-- Removal of what erased contacts sent as files: when it is due, and who else needs a file.
ALTER TABLE tickets.erased_object
    -- When the bytes may be removed, or the last attempt may be repeated.
    ADD COLUMN due_at   timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN attempts integer     NOT NULL DEFAULT 0;

CREATE INDEX erased_object_due ON tickets.erased_object (due_at);

-- Keys of the files of a message that waits. Null in rows of releases that did not write it: there the message says it.
ALTER TABLE tickets.quarantine ADD COLUMN object_keys jsonb;

CREATE INDEX quarantine_object ON tickets.quarantine USING gin (object_keys) WHERE object_keys IS NOT NULL;
CREATE INDEX quarantine_unlisted ON tickets.quarantine (message_id) WHERE object_keys IS NULL;
