-- name: read
-- The newest snapshot up to a version, and the events from its version on: (true, version, hash, state) and
-- (false, position, NULL, state).
WITH snapshot AS (
    SELECT originator_version, event_sha256, state
      FROM cache.snapshots
     WHERE originator_id = %(id)s AND originator_version <= %(up_to)s AND shape = %(shape)s
     ORDER BY originator_version DESC LIMIT 1
)
SELECT true, originator_version, event_sha256, state FROM snapshot
UNION ALL
(SELECT false, notification_id, NULL, state
   FROM es.stored_events
  WHERE originator_id = %(id)s AND originator_version <= %(up_to)s
    AND originator_version >= coalesce((SELECT originator_version FROM snapshot), 1)
  ORDER BY originator_version);

-- name: insert
INSERT INTO cache.snapshots AS old (originator_id, originator_version, shape, event_sha256, state)
SELECT %(id)s, w.version, %(shape)s, w.event_sha256, w.state
  FROM unnest(%(versions)s::bigint[], %(hashes)s::bytea[], %(states)s::bytea[]) AS w (version, event_sha256, state)
    ON CONFLICT (originator_id, originator_version) DO UPDATE
   SET shape = excluded.shape, event_sha256 = excluded.event_sha256, state = excluded.state
 WHERE (old.shape, old.event_sha256) IS DISTINCT FROM (excluded.shape, excluded.event_sha256);
