-- name: try_lock
-- Only one dispatcher purges at a time; the others do not wait.
SELECT pg_try_advisory_xact_lock(%(key)s);

-- name: mark_finished
-- Selects a batch of old finished deliveries, and stores in their webhooks the position up to which deliveries are
-- purged. The lock on the webhook excludes a replay at the same time.
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
-- Pending deliveries of deleted webhooks, which are never sent.
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
-- Deletes messages without a delivery of any webhook. insert_messages locks a message that it uses again, and sets
-- its time to now.
DELETE FROM hook.messages m
 WHERE m.id = ANY(%(message_ids)s::text[])
   AND m.created_at < now() - %(retention)s
   AND NOT EXISTS (SELECT FROM hook.deliveries d WHERE d.message_id = m.id);

-- name: delete_secrets
-- Deletes secrets that a rotation replaced, after their grace time.
DELETE FROM hook.secrets WHERE expires_at <= now();
