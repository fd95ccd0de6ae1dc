-- Tokens that end by themselves and that may do less than their role. Owned by solmu-runtime (access).
ALTER TABLE access.token
    -- From then on it is refused. Null: never.
    ADD COLUMN expire_time timestamptz,
    -- What it may do of what its role may; empty: all of it.
    ADD COLUMN scopes text[] NOT NULL DEFAULT '{}',
    -- An agent's token that sees the tickets of every team, as managers need.
    ADD COLUMN all_teams boolean NOT NULL DEFAULT false;
-- The figure of tokens that end soon.
CREATE INDEX token_expiry ON access.token (expire_time) WHERE expire_time IS NOT NULL AND revoke_time IS NULL;
