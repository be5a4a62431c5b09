-- name: sample_ids
-- The ids that divide the log into parts with about the same number of events.
SELECT percentile_disc(%(fractions)s::float8[]) WITHIN GROUP (ORDER BY originator_id)
  FROM es.stored_events TABLESAMPLE SYSTEM (%(percent)s);

-- name: last_id
SELECT max(originator_id) FROM es.stored_events;

-- name: read_by_index
-- With the primary key the first rows are found without reading and sorting the others.
SET enable_sort TO off;

-- name: read_range
SELECT notification_id, originator_id, originator_version, state
  FROM es.stored_events
 WHERE (originator_id, originator_version) > (%(id)s, %(version)s) AND originator_id <= %(last)s
   AND notification_id <= %(end)s
 ORDER BY originator_id, originator_version
 LIMIT %(limit)s;

-- name: move_position
UPDATE projector_position SET position = %(position)s;
