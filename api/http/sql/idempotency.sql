-- Inserts a claim, or takes over an existing one: an expired claim begins again with a new command id; a
-- claim without an answer passes to the same request with the same command id, when its holder gave up
-- (claimed_at is -infinity) or claimed it more than 10 seconds ago. A request waits for the database 4 s in
-- total, so a working holder has finished by then. A holder that continues after a freeze does no harm,
-- because each command id has only one effect.
-- name: claim
INSERT INTO access.idempotency AS claim
       (key_id, idempotency_key, request_sha256, command_id, claimed_at, expires_at)
VALUES (%(key_id)s, %(idempotency_key)s, %(request_sha256)s, %(command_id)s, now(), now() + interval '24 hours')
    ON CONFLICT (key_id, idempotency_key) DO UPDATE
   SET request_sha256 = excluded.request_sha256,
       command_id = CASE WHEN claim.expires_at <= now() THEN excluded.command_id ELSE claim.command_id END,
       claimed_at = now(),
       expires_at = CASE WHEN claim.expires_at <= now() THEN excluded.expires_at ELSE claim.expires_at END,
       response_status = NULL,
       response_headers = NULL,
       response_body = NULL
 WHERE claim.expires_at <= now()
    OR (claim.response_status IS NULL
        AND claim.claimed_at <= now() - interval '10 seconds'
        AND claim.request_sha256 = excluded.request_sha256)
RETURNING command_id;

-- name: select_claim
SELECT request_sha256, response_status, response_headers, response_body
  FROM access.idempotency
 WHERE key_id = %(key_id)s AND idempotency_key = %(idempotency_key)s;

-- name: keep_answer
UPDATE access.idempotency
   SET response_status = %(status)s, response_headers = %(headers)s, response_body = %(body)s
 WHERE key_id = %(key_id)s AND idempotency_key = %(idempotency_key)s AND command_id = %(command_id)s;

-- Keeps the command id, because the command may have been carried out.
-- name: give_up
UPDATE access.idempotency
   SET claimed_at = '-infinity'
 WHERE key_id = %(key_id)s AND idempotency_key = %(idempotency_key)s AND command_id = %(command_id)s
   AND response_status IS NULL;

-- name: purge
DELETE FROM access.idempotency
 WHERE (key_id, idempotency_key) IN (
       SELECT key_id, idempotency_key FROM access.idempotency
        WHERE expires_at <= now() ORDER BY expires_at LIMIT 1000 FOR UPDATE SKIP LOCKED);
