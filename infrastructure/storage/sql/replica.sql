-- name: read_position
SELECT position FROM read.projector_position;

-- name: read_last_event
-- The position of the read tables, and the event there. Two servers that have the same event at a position have the
-- same log up to it.
SELECT p.position, e.originator_id || ' ' || e.originator_version || ' ' || md5(e.state)
  FROM read.projector_position p
  JOIN es.stored_events e ON e.notification_id = p.position;

-- name: read_event_at
SELECT originator_id || ' ' || originator_version || ' ' || md5(state)
  FROM es.stored_events WHERE notification_id = %(position)s;
