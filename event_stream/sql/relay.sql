-- name: read_leader
-- The session that holds the lock. The high half of the key is 0, so objid is the whole key.
SELECT l.pid, p.position,
       EXISTS (SELECT FROM es.stored_events e WHERE e.notification_id > p.position) AS has_backlog
  FROM pg_locks l, relay.position p
 WHERE l.locktype = 'advisory' AND l.classid = 0 AND l.objid = %(key)s AND l.objsubid = 1 AND l.granted
   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database());

-- name: end_session
SELECT pg_terminate_backend(%(pid)s);

-- name: read_log_state
-- Values to check the starting position with: its copy, the end of the log, and the event at the position.
SELECT p.position,
       (SELECT coalesce(max(notification_id), 0) FROM es.stored_events),
       (SELECT state FROM es.stored_events WHERE notification_id = %(position)s)
  FROM relay.position p;

-- name: read_event_at_or_before
SELECT notification_id, state
  FROM es.stored_events
 WHERE notification_id <= %(position)s
 ORDER BY notification_id DESC
 LIMIT 1;

-- name: read_mirror
SELECT position FROM relay.position;

-- name: advance_mirror
UPDATE relay.position SET position = %(position)s, published_at = now() WHERE position < %(position)s;

-- name: advance_mirror_and_offsets
UPDATE relay.position SET position = %(position)s, published_at = now(), offsets = %(offsets)s
 WHERE position < %(position)s;

-- name: reset_mirror
UPDATE relay.position SET position = %(position)s, published_at = now();

-- name: read_destination
SELECT position, topic, topic_id, partitions, offsets FROM relay.position;

-- name: record_destination
UPDATE relay.position
   SET topic = %(topic)s, topic_id = %(topic_id)s, partitions = %(partitions)s, offsets = %(offsets)s;

-- name: read_key
SELECT originator_id FROM es.stored_events WHERE notification_id = %(position)s;

-- name: count_after
SELECT count(*) FROM es.stored_events WHERE notification_id > %(position)s;
