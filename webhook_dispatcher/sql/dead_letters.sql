-- name: list_letters
SELECT topic, partition, record_offset, coalesce(length(value), 0), error, at
  FROM hook.dead_letters
 ORDER BY topic, partition, record_offset
 LIMIT %(limit)s;

-- name: take_letters
-- Deletes the next dead letters: the consumer inserts those that it cannot handle again.
WITH next AS (
    SELECT topic, partition, record_offset
      FROM hook.dead_letters
     WHERE (topic, partition, record_offset) > (%(after_topic)s, %(after_partition)s, %(after_offset)s)
       AND (%(all)s OR (topic, partition, record_offset) IN
            (SELECT * FROM unnest(%(topics)s::text[], %(partitions)s::int[], %(offsets)s::bigint[])))
     ORDER BY topic, partition, record_offset
     LIMIT %(limit)s
       FOR UPDATE SKIP LOCKED
)
DELETE FROM hook.dead_letters d USING next n
 WHERE (d.topic, d.partition, d.record_offset) = (n.topic, n.partition, n.record_offset)
RETURNING d.topic, d.partition, d.record_offset, d.key, d.value, d.headers;

-- name: count_letters
SELECT count(*) FROM hook.dead_letters
 WHERE (topic, partition, record_offset) IN
       (SELECT * FROM unnest(%(topics)s::text[], %(partitions)s::int[], %(offsets)s::bigint[]));

-- name: delete_letters
DELETE FROM hook.dead_letters
 WHERE (topic, partition, record_offset) IN
       (SELECT * FROM unnest(%(topics)s::text[], %(partitions)s::int[], %(offsets)s::bigint[]));

-- name: list_deliveries
SELECT d.id, d.endpoint_id, e.url, m.name, d.claims, coalesce(a.status::text, a.error), d.finished_at
  FROM hook.deliveries d
  JOIN hook.endpoints e ON e.id = d.endpoint_id AND e.deleted_at IS NULL
  JOIN hook.messages m ON m.id = d.message_id
  LEFT JOIN LATERAL (SELECT status, error FROM hook.attempts
                      WHERE delivery_id = d.id ORDER BY number DESC LIMIT 1) a ON true
 WHERE d.status = 'dead'
 ORDER BY d.id DESC
 LIMIT %(limit)s;

-- name: retry_deliveries
-- Also ends the pauses after failures, so that the deliveries are sent immediately.
WITH due AS (
    UPDATE hook.deliveries d
       SET status = 'pending', failures = 0, next_at = now(), finished_at = NULL
      FROM hook.endpoints e
     WHERE e.id = d.endpoint_id AND e.deleted_at IS NULL AND d.status = 'dead'
       AND (%(ids)s::bigint[] IS NULL OR d.id = ANY(%(ids)s))
    RETURNING d.endpoint_id
), unpaused AS (
    UPDATE hook.health SET paused_until = NULL WHERE endpoint_id IN (SELECT endpoint_id FROM due)
)
SELECT count(*) FROM due;
