-- name: read_page
-- The position and what comes after it, without a lock: the log only grows, so the page stays true for
-- as long as the position does.
SELECT p.position, e.notification_id, e.originator_id, e.state
  FROM projector_position p
  LEFT JOIN LATERAL es.stored_events_read(p.position, %(limit)s, NULL) e ON true
 ORDER BY e.notification_id;

-- name: claim_page
-- The row stays locked until the page is projected, so that one process at a time works on it; no row comes
-- back when another has moved the position. Readers are told, with the commit, of what they can see, not of
-- a copy that is being filled.
UPDATE projector_position SET position = %(to)s WHERE position = %(from)s
RETURNING ARRAY(SELECT originator_id FROM parked_events WHERE originator_id = ANY(%(aggregate_ids)s)),
          CASE WHEN current_schema() = 'read' THEN pg_notify('ticketing_projected', %(to)s::text) END;

-- name: claim_page_unless_locked
UPDATE projector_position SET position = %(to)s
 WHERE position = (SELECT position FROM projector_position WHERE position = %(from)s FOR UPDATE SKIP LOCKED)
RETURNING ARRAY(SELECT originator_id FROM parked_events WHERE originator_id = ANY(%(aggregate_ids)s)),
          CASE WHEN current_schema() = 'read' THEN pg_notify('ticketing_projected', %(to)s::text) END;

-- name: park_events
INSERT INTO parked_events (position, originator_id, error)
SELECT * FROM unnest(%(positions)s::bigint[], %(aggregate_ids)s::text[], %(errors)s::text[]);

-- name: take_leadership
SELECT pg_try_advisory_lock(%(key)s);

-- name: read_progress
-- The position, and whether a projector leads. The key's high half is 0, so it all stands in objid.
SELECT position,
       EXISTS (SELECT FROM pg_locks
                WHERE locktype = 'advisory' AND classid = 0 AND objid = %(key)s AND objsubid = 1
                  AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))
  FROM projector_position;
