-- Finds the account by id, or by e-mail address as commands/email_addresses.py compares them. If several people share
-- an address, it finds the one who was registered first; the others sign in with their ids. Deactivated people are
-- not found.
-- name: find_account
SELECT person.id, person.role, password.hash
  FROM read.users AS person
  JOIN access.passwords AS password ON password.user_id = person.id
 WHERE (person.id = %(account)s
        OR person.id = ANY((SELECT user_ids FROM privacy.email_addresses WHERE address_hmac = %(address_hmac)s)::text[]))
   AND NOT EXISTS (SELECT FROM access.deactivated_people AS left_us WHERE left_us.user_id = person.id)
 ORDER BY person.id = %(account)s DESC, person.created_at, person.id
 LIMIT 1;

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
