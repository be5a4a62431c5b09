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
