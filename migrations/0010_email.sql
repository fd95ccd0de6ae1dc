-- What the e-mail connector knows of the mailboxes that it reads. Owned by solmu-email.
CREATE SCHEMA email;

-- How far a folder was read. A UID names a mail only together with UIDVALIDITY (RFC 9051 section 2.3.1.1), so a folder
-- whose UIDVALIDITY changes gets a new row and is read from its beginning; what is known already has no second effect,
-- because the ids of messages are made from their Message-ID or their bytes.
CREATE TABLE email.cursor (
    account      text        NOT NULL,
    mailbox      text        NOT NULL,
    -- Server, user and folder: a mailbox that is configured to another place is another one.
    place        text        NOT NULL,
    uid_validity bigint      NOT NULL CHECK (uid_validity > 0),
    -- Every mail up to this UID is on the bus's disk, or in email.skipped.
    taken_uid    bigint      NOT NULL CHECK (taken_uid >= 0),
    -- Every mail up to this UID was marked or moved, too. Less than taken_uid after a crash between the two.
    settled_uid  bigint      NOT NULL CHECK (settled_uid >= 0),
    began_at     timestamptz NOT NULL,
    moved_at     timestamptz NOT NULL,
    PRIMARY KEY (account, mailbox, place, uid_validity),
    CHECK (settled_uid <= taken_uid)
);

-- Mails that stay in the mailbox because they could not be taken whole, for people to look at.
CREATE TABLE email.skipped (
    account      text        NOT NULL,
    mailbox      text        NOT NULL,
    place        text        NOT NULL,
    uid_validity bigint      NOT NULL,
    uid          bigint      NOT NULL,
    cause        text        NOT NULL,
    -- Whether a message made of the mail's header was handed in, which says where the mail is.
    noticed      boolean     NOT NULL,
    size_bytes   bigint      NOT NULL,
    skipped_at   timestamptz NOT NULL,
    PRIMARY KEY (account, mailbox, place, uid_validity, uid)
);
CREATE INDEX skipped_at ON email.skipped (skipped_at);
