-- OAuth 2.0. As with API keys, these rows are written in the transaction of their event and hold only hashes
-- of credentials.
CREATE TABLE access.oauth_clients (
    id text PRIMARY KEY,
    secret_sha256 bytea,                                 -- NULL: a public client, which has no secret
    hint text,                                           -- the last four characters, shown in lists
    name text NOT NULL,
    redirect_uris text[] NOT NULL,
    scopes text[] NOT NULL,
    grant_types text[] NOT NULL,
    requires_pkce boolean NOT NULL,
    role text NOT NULL,
    property_ids text[] NOT NULL,
    rate_limit integer,                                  -- requests per hour; NULL: no limit
    created_at timestamptz NOT NULL,
    revoked_at timestamptz
);

-- Consents of people to clients. `code_sha256` is the hash of the authorization code, which is used once.
CREATE TABLE access.oauth_grants (
    id text PRIMARY KEY,                                 -- the id of the aggregate
    client_id text NOT NULL,
    user_id text NOT NULL,
    scopes text[] NOT NULL,
    given_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    ended_at timestamptz,
    code_sha256 bytea NOT NULL UNIQUE,
    code_expires_at timestamptz NOT NULL,
    redirect_uri text NOT NULL,
    redirect_uri_was_given boolean NOT NULL,
    code_challenge text                                  -- S256; NULL: no challenge was sent
);
CREATE INDEX oauth_grants_user_id_idx ON access.oauth_grants (user_id);
CREATE INDEX oauth_grants_client_id_idx ON access.oauth_grants (client_id);
CREATE INDEX oauth_grants_expires_at_idx ON access.oauth_grants (expires_at);

-- `grant_id` and `user_id` are NULL for a client that acts as itself. `generation` numbers the refresh tokens
-- of a grant. Used tokens stay until they expire, so that a second use is detected.
CREATE TABLE access.oauth_tokens (
    token_sha256 bytea PRIMARY KEY,
    is_refresh boolean NOT NULL,
    client_id text NOT NULL,
    grant_id text,
    user_id text,
    scopes text[] NOT NULL,
    generation integer NOT NULL,
    rate_key text NOT NULL,                              -- the key in access.rate_windows
    issued_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX oauth_tokens_grant_id_idx ON access.oauth_tokens (grant_id);
CREATE INDEX oauth_tokens_client_id_idx ON access.oauth_tokens (client_id);
CREATE INDEX oauth_tokens_user_id_idx ON access.oauth_tokens (user_id);
CREATE INDEX oauth_tokens_expires_at_idx ON access.oauth_tokens (expires_at);

-- Names of callers that are not people.
CREATE VIEW access.services AS
    SELECT id, name FROM access.api_keys
     UNION ALL
    SELECT id, name FROM access.oauth_clients;
