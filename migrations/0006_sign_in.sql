-- Passwords and browser sessions. The hash of a password and the row of a session are written in the
-- transaction of their event.
CREATE TABLE access.passwords (
    user_id text PRIMARY KEY,
    hash text NOT NULL,                                  -- argon2id, in PHC form with its salt
    changed_at timestamptz NOT NULL
);

CREATE TABLE access.sessions (
    secret_sha256 bytea PRIMARY KEY,
    id text NOT NULL UNIQUE,                             -- the id of the aggregate
    user_id text NOT NULL,
    started_at timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX sessions_user_id_idx ON access.sessions (user_id);
CREATE INDEX sessions_last_seen_at_idx ON access.sessions (last_seen_at);

-- Consecutive failed attempts, for each pair of account and address and for each address, and the time until
-- which further attempts are refused. Unlogged: a crash resets the counts.
CREATE UNLOGGED TABLE access.sign_in_delays (
    bucket_sha256 bytea PRIMARY KEY,
    failures integer NOT NULL,
    blocked_until timestamptz NOT NULL,
    forgotten_at timestamptz NOT NULL
) WITH (fillfactor = 50);
CREATE INDEX sign_in_delays_forgotten_at_idx ON access.sign_in_delays (forgotten_at);

-- Failed attempts of the current hour, those recorded in the log and those that were not: for each network, and
-- under 'all' in total. Not for each account, because the time of an answer would reveal which accounts exist.
-- `to_record` is the number of attempts that the event of the last attempt stands for; 0: record no event.
CREATE UNLOGGED TABLE access.sign_in_failures (
    source text PRIMARY KEY,
    hour_began_at timestamptz NOT NULL,
    recorded integer NOT NULL,
    unrecorded integer NOT NULL,
    to_record integer NOT NULL
) WITH (fillfactor = 50);
