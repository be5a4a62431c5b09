-- OAuth 2.0. As with API keys, these rows are written in the transaction of the event that tells of them
-- and only hold hashes of what opens something.
CREATE TABLE access.oauth_clients (
    id text PRIMARY KEY,
    secret_sha256 bytea,                                 -- NULL: a public client, which could keep none
    hint text,                                           -- the last four characters, for people
    name text NOT NULL,
    redirect_uris text[] NOT NULL,
    scopes text[] NOT NULL,
    grant_types text[] NOT NULL,
    requires_pkce boolean NOT NULL,
    role text NOT NULL,
    property_ids text[] NOT NULL,
    rate_limit integer,                                  -- requests an hour; NULL: no limit
    created_at timestamptz NOT NULL,
    revoked_at timestamptz
);

-- What people let clients do. `code_sha256` is the code of the one redemption there is.
CREATE TABLE access.oauth_grants (
    id text PRIMARY KEY,                                 -- the aggregate in the log
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
    code_challenge text                                  -- S256; NULL: none was sent
);
CREATE INDEX oauth_grants_user_id_idx ON access.oauth_grants (user_id);
CREATE INDEX oauth_grants_client_id_idx ON access.oauth_grants (client_id);
CREATE INDEX oauth_grants_expires_at_idx ON access.oauth_grants (expires_at);

-- `grant_id` and `user_id` are NULL for a client that acts as itself. `generation` numbers the refresh
-- tokens of a grant; used ones stay until they expire, so that a second use is noticed.
CREATE TABLE access.oauth_tokens (
    token_sha256 bytea PRIMARY KEY,
    is_refresh boolean NOT NULL,
    client_id text NOT NULL,
    grant_id text,
    user_id text,
    scopes text[] NOT NULL,
    generation integer NOT NULL,
    rate_key text NOT NULL,                              -- its row of access.rate_windows
    issued_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX oauth_tokens_grant_id_idx ON access.oauth_tokens (grant_id);
CREATE INDEX oauth_tokens_client_id_idx ON access.oauth_tokens (client_id);
CREATE INDEX oauth_tokens_user_id_idx ON access.oauth_tokens (user_id);
CREATE INDEX oauth_tokens_expires_at_idx ON access.oauth_tokens (expires_at);

-- Everything that acts as itself, by the name it is shown under.
CREATE VIEW access.services AS
    SELECT id, name FROM access.api_keys
     UNION ALL
    SELECT id, name FROM access.oauth_clients;
