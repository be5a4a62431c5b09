-- name: read_sizes
-- The number of events is PostgreSQL's estimate; before the first one, the last position.
SELECT CASE WHEN c.reltuples >= 0 THEN c.reltuples::bigint ELSE log.reached END AS events,
       log.reached AS last_position,
       pg_total_relation_size(c.oid) AS log_bytes,
       pg_database_size(current_database()) AS database_bytes
  FROM pg_class c, (SELECT coalesce(max(notification_id), 0) AS reached FROM es.stored_events) log
 WHERE c.oid = 'es.stored_events'::regclass;
