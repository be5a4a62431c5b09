-- The e-mail addresses in use, each as a keyed hash (infrastructure/keys/keyed_hash.py), with the people who have
-- it. The primary key makes addresses unique: the row of a new address commits with the event. Several people share
-- a row only if they had the same address before this table existed. Vacuumed as soon as a row changes, so that
-- the hash of an erased person does not stay in a dead row.
CREATE TABLE privacy.email_addresses (
    address_hmac bytea PRIMARY KEY,
    user_ids text[] NOT NULL                                -- in the order of registration
) WITH (autovacuum_vacuum_threshold = 0, autovacuum_vacuum_scale_factor = 0);

-- Has a row once the table above contains the addresses of the log. `ticketing migrate` fills it (the addresses in
-- the log are encrypted), and no process starts before that. An empty log has no addresses.
CREATE TABLE privacy.email_addresses_filled (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row)
);
INSERT INTO privacy.email_addresses_filled
SELECT true WHERE NOT EXISTS (SELECT FROM es.stored_events);

-- People who are deactivated. Keys, tokens and sessions of a person in this table are refused. A row is written in
-- the transaction of its event, so that it takes effect with the commit in every process.
CREATE TABLE access.deactivated_people (
    user_id text PRIMARY KEY,
    deactivated_at timestamptz NOT NULL
);

-- The one-time link of a person, with which they set a password. A new link replaces the old one.
CREATE TABLE access.one_time_links (
    user_id text PRIMARY KEY,
    id text NOT NULL,
    secret_sha256 bytea NOT NULL UNIQUE,
    issuer_id text,                                         -- the person who asked for it; NULL: not a person
    expires_at timestamptz NOT NULL
);
