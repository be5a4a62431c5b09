-- name: read_batch
-- The position and the events after it, without a lock: the log only grows, so the batch is valid as long as the
-- position stays the same. Returns one row without an event when no event follows the position. `surplus` is what this
-- and the earlier events have above the ordinary size; the first event is always returned. The function returns the
-- events in order, so the window needs no sort.
SELECT p.position, e.notification_id, e.originator_id, e.state
  FROM projector_position p
  LEFT JOIN LATERAL (
       SELECT *, sum(greatest(octet_length(state) - %(ordinary_bytes)s, 0)) OVER so_far AS surplus,
              row_number() OVER so_far AS number
         FROM es.stored_events_read(p.position, %(limit)s, NULL)
       WINDOW so_far AS (ROWS UNBOUNDED PRECEDING)) e
    ON e.surplus <= %(surplus_bytes)s OR e.number = 1
 ORDER BY e.notification_id;

-- name: claim_batch
-- Locks the row until the transaction ends, so that one process projects at a time. Returns no row when another
-- process has moved the position. Notifies readers at the commit, unless a copy is being filled.
UPDATE projector_position SET position = %(to)s WHERE position = %(from)s
RETURNING ARRAY(SELECT originator_id FROM parked_events WHERE originator_id = ANY(%(aggregate_ids)s)), has_counts,
          CASE WHEN current_schema() <> 'read_next'
               THEN pg_notify('ticketing_projected' || substr(current_schema(), 5), %(to)s::text) END;

-- name: claim_batch_unless_locked
UPDATE projector_position SET position = %(to)s
 WHERE position = (SELECT position FROM projector_position WHERE position = %(from)s FOR UPDATE SKIP LOCKED)
RETURNING ARRAY(SELECT originator_id FROM parked_events WHERE originator_id = ANY(%(aggregate_ids)s)), has_counts,
          CASE WHEN current_schema() <> 'read_next'
               THEN pg_notify('ticketing_projected' || substr(current_schema(), 5), %(to)s::text) END;

-- name: park_events
INSERT INTO parked_events (position, originator_id, error)
SELECT * FROM unnest(%(positions)s::bigint[], %(aggregate_ids)s::text[], %(errors)s::text[]);

-- name: read_progress
-- The position, and whether a projector is the leader. The key fits into objid, as its high half is 0.
SELECT position,
       EXISTS (SELECT FROM pg_locks
                WHERE locktype = 'advisory' AND classid = 0 AND objid = %(key)s AND objsubid = 1
                  AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))
  FROM projector_position;

-- name: wait_for_standby
-- Makes the commits of this session wait for the synchronous standby, if the server has one.
SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_standby_names') <> '';
