-- Bearer tokens of people and services. A secret has 256 random bits, so a plain SHA-256 of it is kept: guessing is
-- out of reach and a slow hash would only cost every call.
CREATE SCHEMA access;

CREATE TABLE access.token (
    -- The public part of the token, which is also its name in logs.
    id           text        PRIMARY KEY CHECK (id ~ '^[a-z2-7]{8}$'),
    display_name text        NOT NULL,
    role         text        NOT NULL CHECK (role IN ('admin', 'agent', 'service')),
    -- Whose token it is: of an agent and of nobody else.
    agent_id     uuid,
    hash         bytea       NOT NULL UNIQUE CHECK (octet_length(hash) = 32),
    create_time  timestamptz NOT NULL,
    revoke_time  timestamptz,
    CHECK ((role = 'agent') = (agent_id IS NOT NULL))
);
