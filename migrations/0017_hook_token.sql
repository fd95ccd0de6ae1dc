-- Tokens of mail providers' signatures that were used (Mailgun). Owned by solmu-email. A signature covers no content, so
-- a token is good for the first content that came with it, whichever process took it.
CREATE TABLE email.hook_token (
    -- SHA-256 of the token.
    token      bytea       PRIMARY KEY,
    -- SHA-256 of what came with it first.
    content    bytea       NOT NULL,
    -- When the signature is too old to count anyway.
    expires_at timestamptz NOT NULL
);
CREATE INDEX hook_token_expiry ON email.hook_token (expires_at);
