-- What every service needs: leases with fencing epochs, and who is alive. Knows no ticket.
CREATE SCHEMA platform;

-- A lease is held by one process at a time. The epoch grows with each change of holder and is checked by every
-- transaction that acts on the lease, so that a paused process cannot act on what it has lost.
CREATE TABLE platform.lease (
    name       text        NOT NULL,
    shard      integer     NOT NULL,
    holder     text        NOT NULL,
    epoch      bigint      NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (name, shard)
);

-- Live members of a group share its shards.
CREATE TABLE platform.member (
    name       text        NOT NULL,
    holder     text        NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (name, holder)
);
