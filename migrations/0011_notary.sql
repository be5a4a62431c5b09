-- What the notary makes of the ordered log (notary/, docs/decisions/0008-tamper-evidence.md): pages of
-- events, chained by hash, and the signed statements that also stand outside the database.
CREATE SCHEMA notary;

-- The name of this log, which its chain begins with: another database's checkpoints do not fit it.
CREATE TABLE notary.log (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    id text NOT NULL
);
INSERT INTO notary.log (id) VALUES (gen_random_uuid()::text);

CREATE TABLE notary.pages (
    number bigint PRIMARY KEY,                     -- 1, 2, 3 ...
    first_position bigint NOT NULL,
    last_position bigint NOT NULL UNIQUE,
    positions bigint[] NOT NULL,
    event_ids text[] NOT NULL,                     -- to find an event by; no part of any hash
    leaves bytea NOT NULL,                         -- 32 bytes an event, so that what was altered is told exactly
    root bytea NOT NULL,
    chain bytea NOT NULL
);
CREATE INDEX pages_event_ids_idx ON notary.pages USING gin (event_ids);

-- Ed25519. The private key is sealed under the master key, and gone once the key is retired.
CREATE TABLE notary.keys (
    id text PRIMARY KEY,
    public_key bytea NOT NULL,
    sealed_private_key bytea,
    made_at timestamptz NOT NULL,
    retired_at timestamptz
);
CREATE UNIQUE INDEX keys_one_in_use_idx ON notary.keys ((true)) WHERE retired_at IS NULL;

-- Checkpoints, changes of key and erasures, each line with the hash of the one before it. `position` is
-- that of a checkpoint.
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
