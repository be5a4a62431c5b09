-- What decides whether a request may pass. Written in the transaction of the event that caused it,
-- so that a revocation never waits for a projector.
CREATE SCHEMA access;

CREATE TABLE access.api_keys (
    id text PRIMARY KEY,
    secret_sha256 bytea NOT NULL UNIQUE,
    hint text NOT NULL,                                  -- the last four characters, for people
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

-- One row a key. Unlogged: losing it in a crash restarts windows, and costs no fsync a request.
CREATE UNLOGGED TABLE access.rate_windows (
    key_id text PRIMARY KEY,
    started_at timestamptz NOT NULL,
    used integer NOT NULL,
    last_used_at timestamptz NOT NULL
) WITH (fillfactor = 30, autovacuum_vacuum_threshold = 200, autovacuum_vacuum_scale_factor = 0.1);

-- One row a (key, Idempotency-Key). `response_status` is NULL while the first request is under way.
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

-- Values every process must agree on, such as the key that signs cursors and file addresses.
CREATE TABLE access.secrets (
    name text PRIMARY KEY,
    value bytea NOT NULL
);
INSERT INTO access.secrets (name, value)
VALUES ('signing', decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex'));
