-- The order in which time was booked, so that an export goes on exactly where the one before it ended.

CREATE SEQUENCE tickets.time_booking;

ALTER TABLE tickets.time_entry
    -- Place in that order; null while its timer runs. Given by the trigger below, and never changed.
    ADD COLUMN booking   bigint,
    -- When that was.
    ADD COLUMN booked_at timestamptz;

UPDATE tickets.time_entry AS entry SET booking = known.place, booked_at = entry.updated_at
FROM (SELECT id, row_number() OVER (ORDER BY updated_at, id) AS place FROM tickets.time_entry WHERE seconds IS NOT NULL) AS known
WHERE entry.id = known.id;
SELECT setval('tickets.time_booking', coalesce(max(booking), 0) + 1, false) FROM tickets.time_entry;
CREATE UNIQUE INDEX time_entry_booking ON tickets.time_entry (booking) WHERE booking IS NOT NULL;

-- A place is given under a shared lock that is held until the booking is committed. Whoever takes that lock alone for a
-- moment knows that all lower places are to be seen, and that all later ones will be higher: a time of day says neither,
-- because a booking with an earlier time may be committed later. A trigger, so that no way of booking can forget it; it runs
-- after the lock of the ticket, and nobody waits for a ticket any more who has it.
CREATE FUNCTION tickets.time_is_booked() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.seconds IS NOT NULL AND NEW.booking IS NULL THEN
        PERFORM pg_advisory_xact_lock_shared(hashtextextended('tickets.time_booking', 0));
        NEW.booking := nextval('tickets.time_booking');
        NEW.booked_at := NEW.updated_at;
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER time_is_booked BEFORE INSERT OR UPDATE OF seconds ON tickets.time_entry
    FOR EACH ROW EXECUTE FUNCTION tickets.time_is_booked();
