-- name: try_lock
-- One dispatcher at a time; the others do not wait.
SELECT pg_try_advisory_xact_lock(%(key)s);

-- name: mark_finished
-- Locks a batch of deliveries that finished long ago, and stores in each webhook the last position of them, up
-- to which its deliveries may be missing. A replay locks the webhook too, so one of the two waits.
WITH old AS (
    SELECT d.id, d.endpoint_id, d.message_id, m.position
      FROM hook.deliveries d LEFT JOIN hook.messages m ON m.id = d.message_id
     WHERE d.finished_at < now() - %(retention)s AND d.status <> 'pending'
     ORDER BY d.finished_at
     LIMIT %(limit)s
       FOR UPDATE OF d SKIP LOCKED
), marked AS (
    UPDATE hook.endpoints e
       SET purged_position = greatest(e.purged_position, last.position)
      FROM (SELECT endpoint_id, max(position) AS position FROM old GROUP BY endpoint_id) last
     WHERE e.id = last.endpoint_id AND last.position > e.purged_position
)
SELECT id, message_id FROM old;

-- name: find_ownerless
-- Pending deliveries of webhooks that were deleted long ago; they are never sent.
SELECT d.id, d.message_id
  FROM hook.endpoints e JOIN hook.deliveries d ON d.endpoint_id = e.id AND d.status = 'pending'
 WHERE e.deleted_at < now() - %(retention)s
 LIMIT %(limit)s
   FOR UPDATE OF d SKIP LOCKED;

-- name: delete_deliveries
WITH attempts AS (
    DELETE FROM hook.attempts WHERE delivery_id = ANY(%(ids)s::bigint[])
)
DELETE FROM hook.deliveries WHERE id = ANY(%(ids)s::bigint[]);

-- name: delete_messages
-- Keeps messages that another webhook has a delivery of. A message that is being used again is locked, and is
-- no longer old when the lock is released.
DELETE FROM hook.messages m
 WHERE m.id = ANY(%(message_ids)s::text[])
   AND m.created_at < now() - %(retention)s
   AND NOT EXISTS (SELECT FROM hook.deliveries d WHERE d.message_id = m.id);

-- name: delete_secrets
-- Deletes secrets that a rotation replaced, after their grace time.
DELETE FROM hook.secrets WHERE expires_at <= now();
