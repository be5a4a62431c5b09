-- name: list_aggregates
-- In the order of their first parked events: a later one may need the rows of an earlier one.
SELECT originator_id FROM parked_events
 WHERE %(ids)s::text[] IS NULL OR originator_id = ANY(%(ids)s)
 GROUP BY originator_id ORDER BY min(position);

-- name: lock_position
-- Makes the projector wait until the transaction ends. Returns a new position of the log, which has no event: the read
-- tables have not reached it.
WITH locked AS MATERIALIZED (SELECT FROM projector_position FOR UPDATE)
SELECT nextval('es.stored_events_notification_id_seq') FROM locked;

-- name: select_entries
SELECT p.position, p.originator_id, e.state
  FROM parked_events p JOIN es.stored_events e ON e.notification_id = p.position
 WHERE p.originator_id = %(id)s
 ORDER BY p.position LIMIT %(limit)s;

-- name: count_parked
SELECT count(*) FROM parked_events WHERE originator_id = ANY(%(ids)s);

-- name: delete_parked
WITH audited AS (DELETE FROM audit_events WHERE position = ANY(%(positions)s))
DELETE FROM parked_events WHERE position = ANY(%(positions)s);

-- name: note_error
UPDATE parked_events SET error = %(error)s, parked_at = now() WHERE position = %(position)s;
