-- Credentials and rate limits. Rows of credentials are written in the transaction of their event, so a
-- revocation takes effect immediately and does not wait for the projector.
CREATE SCHEMA access;

CREATE TABLE access.api_keys (
    id text PRIMARY KEY,
    secret_sha256 bytea NOT NULL UNIQUE,
    hint text NOT NULL,                                  -- the last four characters, shown in lists
    name text NOT NULL,
    role text NOT NULL,
    user_id text,
    property_ids text[] NOT NULL,
    scopes text[] NOT NULL,
    rate_limit integer,                                  -- requests an hour; NULL: no limit
    expires_at timestamptz,
    created_at timestamptz NOT NULL,
    revoked_at timestamptz
);

-- One row for each key. Unlogged, so that a request needs no fsync; a crash restarts the windows.
CREATE UNLOGGED TABLE access.rate_windows (
    key_id text PRIMARY KEY,
    started_at timestamptz NOT NULL,
    used integer NOT NULL,
    last_used_at timestamptz NOT NULL
) WITH (fillfactor = 30, autovacuum_vacuum_threshold = 200, autovacuum_vacuum_scale_factor = 0.1);

-- One row for each pair of key and Idempotency-Key. `response_status` is NULL while the first request runs.
CREATE TABLE access.idempotency (
    key_id text NOT NULL,
    idempotency_key text NOT NULL,
    request_sha256 bytea NOT NULL,
    command_id text NOT NULL,
    claimed_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    response_status integer,
    response_headers jsonb,
    response_body bytea,
    PRIMARY KEY (key_id, idempotency_key)
);
CREATE INDEX idempotency_expires_at_idx ON access.idempotency (expires_at);

-- Values that all processes share, such as the key that signs cursors and file addresses.
CREATE TABLE access.secrets (
    name text PRIMARY KEY,
    value bytea NOT NULL
);
INSERT INTO access.secrets (name, value)
VALUES ('signing', decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex'));
