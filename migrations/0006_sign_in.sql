-- Passwords and the sessions of browsers. A password's hash and a session's row are written in the
-- transaction of the event that tells of them.
CREATE TABLE access.passwords (
    user_id text PRIMARY KEY,
    hash text NOT NULL,                                  -- argon2id, in PHC form with its salt
    changed_at timestamptz NOT NULL
);

CREATE TABLE access.sessions (
    secret_sha256 bytea PRIMARY KEY,
    id text NOT NULL UNIQUE,                             -- the aggregate in the log
    user_id text NOT NULL,
    started_at timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX sessions_user_id_idx ON access.sessions (user_id);
CREATE INDEX sessions_last_seen_at_idx ON access.sessions (last_seen_at);

-- How many attempts in a row failed, for one account from one address, and for one address whatever the
-- account, and until when the next one is not even looked at. Unlogged: a crash forgives.
CREATE UNLOGGED TABLE access.sign_in_delays (
    bucket_sha256 bytea PRIMARY KEY,
    failures integer NOT NULL,
    blocked_until timestamptz NOT NULL,
    forgotten_at timestamptz NOT NULL
) WITH (fillfactor = 50);
CREATE INDEX sign_in_delays_forgotten_at_idx ON access.sign_in_delays (forgotten_at);

-- How many failed attempts the log has been told of in the present hour, and how many it has not: for each
-- network they came from, and under 'all' for all together. Not for each account: the time an answer takes
-- would tell which accounts there are. `to_record` is what the last attempt stands for in the log, 0 when it
-- is not to be recorded.
CREATE UNLOGGED TABLE access.sign_in_failures (
    source text PRIMARY KEY,
    hour_began_at timestamptz NOT NULL,
    recorded integer NOT NULL,
    unrecorded integer NOT NULL,
    to_record integer NOT NULL
) WITH (fillfactor = 50);
