-- Webhooks: who is told of what, under which secrets, and every delivery with its attempts.
CREATE SCHEMA hook;

-- Written in the commit of the webhook's event, as access.api_keys is: an event that comes after a
-- registration in the log finds the webhook here, whatever a projector has done by then.
CREATE TABLE hook.endpoints (
    id text PRIMARY KEY,
    version bigint NOT NULL,
    url text NOT NULL,
    event_names text[] NOT NULL,
    owner_role text NOT NULL,
    owner_auth text NOT NULL,
    owner_user_id text,
    owner_credential_id text,
    is_enabled boolean NOT NULL,
    disabled_reason text,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_at timestamptz
);

-- Sealed under the master key; infrastructure/keys/vault.py, purpose "webhook secret". During a rotation two
-- are alive: the old one until expires_at.
CREATE TABLE hook.secrets (
    endpoint_id text NOT NULL,
    command_id text NOT NULL,
    sealed bytea NOT NULL,
    is_ours boolean NOT NULL,                              -- made by us, and so shown once
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    PRIMARY KEY (endpoint_id, command_id)
);

-- What is posted: the bytes, frozen when the first endpoint needed them. `id` is the webhook-id. The
-- other columns say who may read it.
CREATE TABLE hook.messages (
    id text PRIMARY KEY,
    event_id text NOT NULL,
    name text NOT NULL,
    aggregate_id text NOT NULL,
    version bigint NOT NULL,
    position bigint,                                       -- NULL: a test, which is in no log
    property_id text,
    requester_id text,
    is_internal boolean NOT NULL DEFAULT false,
    body bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE hook.messages ALTER COLUMN body SET STATISTICS 0;  -- statistics would keep samples
CREATE INDEX messages_created_at_idx ON hook.messages (created_at);

-- `claims` counts the times it was taken up and is the fencing token; `failures` is the place in the
-- schedule. A claim pushes next_at to the end of its lease: a dispatcher that dies needs no cleaning up.
CREATE TABLE hook.deliveries (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    endpoint_id text NOT NULL,
    message_id text NOT NULL,
    aggregate_id text NOT NULL,
    version bigint NOT NULL,
    status text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'delivered', 'dead', 'withheld')),
    claims integer NOT NULL DEFAULT 0,
    failures integer NOT NULL DEFAULT 0,
    next_at timestamptz NOT NULL DEFAULT now(),
    leased_until timestamptz,                              -- while it is being attempted
    created_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    UNIQUE (endpoint_id, message_id)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX deliveries_due_idx ON hook.deliveries (endpoint_id, next_at, id) WHERE status = 'pending';
CREATE INDEX deliveries_order_idx ON hook.deliveries (endpoint_id, aggregate_id, version, id)
    WHERE status = 'pending';
CREATE INDEX deliveries_message_id_idx ON hook.deliveries (message_id);

CREATE TABLE hook.attempts (
    delivery_id bigint NOT NULL,
    number integer NOT NULL,
    at timestamptz NOT NULL,
    url text NOT NULL,
    headers jsonb NOT NULL,                                -- as sent
    status integer,                                        -- NULL: no answer
    response_body bytea,                                   -- its first 2,048 bytes
    error text,
    milliseconds integer NOT NULL,
    PRIMARY KEY (delivery_id, number)
);

-- The circuit breaker. No row: nothing has failed.
CREATE TABLE hook.health (
    endpoint_id text PRIMARY KEY,
    failures integer NOT NULL,                             -- in a row
    failing_since timestamptz NOT NULL,
    paused_until timestamptz
) WITH (fillfactor = 50);

-- How far the dispatcher has followed the log where there is no Kafka.
CREATE TABLE hook.position (
    id smallint PRIMARY KEY DEFAULT 1 CHECK (id = 1),
    position bigint NOT NULL
) WITH (fillfactor = 50);
INSERT INTO hook.position (position) VALUES (0);

-- Records that could not be turned into deliveries. `topic` is `log` where there is no Kafka, and the
-- offset then the position.
CREATE TABLE hook.dead_letters (
    topic text NOT NULL,
    partition integer NOT NULL,
    record_offset bigint NOT NULL,
    key bytea,
    value bytea,
    headers jsonb,
    error text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (topic, partition, record_offset)
);
