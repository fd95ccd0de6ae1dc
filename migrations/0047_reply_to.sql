-- Where an answer to a mail goes if its Reply-To asks for another address than the sender's and that is followed; empty
-- otherwise. Who wrote it stands in address.
ALTER TABLE tickets.message ADD COLUMN reply_to text NOT NULL DEFAULT '';
