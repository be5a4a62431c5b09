-- Finds the account by id, or by e-mail address without regard to case. If several people share an address,
-- it finds the one who was registered first; the others sign in with their ids.
-- name: find_account
SELECT person.id, person.role, password.hash
  FROM read.users AS person
  JOIN access.passwords AS password ON password.user_id = person.id
 WHERE person.id = %(account)s OR lower(person.email) = lower(%(account)s)
 ORDER BY person.id = %(account)s DESC, person.created_at, person.id
 LIMIT 1;

-- Counts the attempt in a bucket before the password is checked, so that simultaneous guesses cannot exceed
-- the limit. No row: the bucket is blocked.
-- name: take_attempt
INSERT INTO access.sign_in_delays AS delay (bucket_sha256, failures, blocked_until, forgotten_at)
VALUES (%(bucket)s, 1, now(), now() + %(forgotten_after)s)
    ON CONFLICT (bucket_sha256) DO UPDATE
   SET failures = CASE WHEN delay.forgotten_at <= now() THEN 1 ELSE delay.failures + 1 END,
       blocked_until = CASE
           WHEN delay.forgotten_at <= now() OR delay.failures + 1 < %(free)s THEN now()
           ELSE now() + least(%(longest)s, interval '1 second' * 2 ^ least(delay.failures + 1 - %(free)s, 16))
       END,
       forgotten_at = now() + %(forgotten_after)s
 WHERE delay.blocked_until <= now()
RETURNING failures;

-- Undoes the count, because the password was not checked.
-- name: give_back_attempts
UPDATE access.sign_in_delays
   SET failures = greatest(failures - 1, 0), blocked_until = now()
 WHERE bucket_sha256 = ANY(%(buckets)s);

-- name: seconds_blocked
SELECT coalesce(max(date_part('epoch', blocked_until - now())), 0)
  FROM access.sign_in_delays
 WHERE bucket_sha256 = ANY(%(buckets)s);

-- After a correct password: deletes the count of the account, and undoes the count of the address.
-- name: forget_failures
DELETE FROM access.sign_in_delays WHERE bucket_sha256 = %(bucket)s;

-- name: purge_failures
DELETE FROM access.sign_in_failures
 WHERE source IN (
       SELECT source FROM access.sign_in_failures
        WHERE hour_began_at <= now() - interval '1 day' AND unrecorded = 0 LIMIT 1000 FOR UPDATE SKIP LOCKED);

-- name: purge_delays
DELETE FROM access.sign_in_delays
 WHERE bucket_sha256 IN (
       SELECT bucket_sha256 FROM access.sign_in_delays
        WHERE forgotten_at <= now() ORDER BY forgotten_at LIMIT 1000 FOR UPDATE SKIP LOCKED);

-- name: count_failures
INSERT INTO access.sign_in_failures AS counted (source, hour_began_at, recorded, unrecorded, to_record)
VALUES (%(source)s, now(), 1, 0, %(attempts)s)
    ON CONFLICT (source) DO UPDATE
   SET hour_began_at = CASE WHEN counted.hour_began_at <= now() - interval '1 hour'
                            THEN now() ELSE counted.hour_began_at END,
       recorded = CASE WHEN counted.hour_began_at <= now() - interval '1 hour' THEN 1
                       ELSE least(counted.recorded + 1, %(most)s) END,
       unrecorded = CASE WHEN counted.hour_began_at <= now() - interval '1 hour' OR counted.recorded < %(most)s
                         THEN 0 ELSE counted.unrecorded + %(attempts)s END,
       to_record = CASE WHEN counted.hour_began_at <= now() - interval '1 hour' OR counted.recorded < %(most)s
                        THEN counted.unrecorded + %(attempts)s ELSE 0 END
RETURNING to_record;

-- name: insert_session
INSERT INTO access.sessions (secret_sha256, id, user_id, started_at, last_seen_at)
VALUES (%(secret_sha256)s, %(session_id)s, %(user_id)s, now(), now())
    ON CONFLICT (id) DO NOTHING;

-- name: delete_session
DELETE FROM access.sessions WHERE id = %(session_id)s;

-- name: purge_sessions
DELETE FROM access.sessions
 WHERE id IN (
       SELECT id FROM access.sessions
        WHERE last_seen_at <= now() - %(idle)s OR started_at <= now() - %(absolute)s
        ORDER BY last_seen_at LIMIT 1000 FOR UPDATE SKIP LOCKED);

-- name: rehash_password
UPDATE access.passwords SET hash = %(hash)s WHERE user_id = %(user_id)s AND hash = %(was)s;
