-- name: schema_exists
SELECT to_regnamespace(%(schema)s) IS NOT NULL;

-- name: next_old_schema
SELECT 'read_old_' || coalesce(max(substring(nspname FROM '^read_old_([0-9]+)$')::int), 0) + 1 FROM pg_namespace;

-- name: find_old_schemas
SELECT nspname FROM pg_namespace WHERE nspname ~ '^read_old(_[0-9]+)?$' ORDER BY nspname;

-- name: find_sessions
-- The sessions that hold a lock on a table of these schemas. A prepared transaction has no process.
SELECT DISTINCT coalesce('process ' || a.pid || ' (' || a.application_name || ')', 'a prepared transaction')
  FROM pg_locks l
  JOIN pg_class c ON c.oid = l.relation
  JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_stat_activity a ON a.pid = l.pid
 WHERE l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND n.nspname = ANY(%(schemas)s) AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid()
 ORDER BY 1;

-- name: take_rebuild_lock
SELECT pg_try_advisory_lock(%(key)s);

-- name: release_rebuild_lock
SELECT pg_advisory_unlock(%(key)s);
