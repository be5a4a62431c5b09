-- The tables of the notary (notary/, docs/decisions/0008-tamper-evidence.md): blocks of events, chained by
-- hash, and signed statements, which are also written outside the database.
CREATE SCHEMA notary;

-- The id of this log. The chain begins with it, so checkpoints of another database do not match.
CREATE TABLE notary.log (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    id text NOT NULL
);
INSERT INTO notary.log (id) VALUES (gen_random_uuid()::text);

-- Blocks of events. The table was named when they were called pages.
CREATE TABLE notary.pages (
    number bigint PRIMARY KEY,                     -- 1, 2, 3 ...
    first_position bigint NOT NULL,
    last_position bigint NOT NULL UNIQUE,
    positions bigint[] NOT NULL,
    event_ids text[] NOT NULL,                     -- to find an event; not part of any hash
    leaves bytea NOT NULL,                         -- 32 bytes for each event, so that findings name the event
    root bytea NOT NULL,
    chain bytea NOT NULL
);
CREATE INDEX pages_event_ids_idx ON notary.pages USING gin (event_ids);

-- Ed25519. The private key is encrypted with the master key, and deleted when the key is retired.
CREATE TABLE notary.keys (
    id text PRIMARY KEY,
    public_key bytea NOT NULL,
    sealed_private_key bytea,
    made_at timestamptz NOT NULL,
    retired_at timestamptz
);
CREATE UNIQUE INDEX keys_one_in_use_idx ON notary.keys ((true)) WHERE retired_at IS NULL;

-- Checkpoints, new keys and erasures. Each line contains the hash of the line before. `position` is set for
-- checkpoints.
CREATE TABLE notary.statements (
    number bigint PRIMARY KEY,
    position bigint,
    line text NOT NULL
);
CREATE INDEX statements_position_idx ON notary.statements (position);

CREATE FUNCTION notary.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'notary.% is append-only: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = '42501';
END $$;
CREATE TRIGGER pages_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON notary.pages
    FOR EACH STATEMENT EXECUTE FUNCTION notary.refuse();
CREATE TRIGGER statements_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON notary.statements
    FOR EACH STATEMENT EXECUTE FUNCTION notary.refuse();
