-- name: insert_run
INSERT INTO panel.verifications (id, started_at, started_by) VALUES (%(id)s, %(at)s, %(by)s)
    ON CONFLICT (id) DO NOTHING;

-- name: take_lock
SELECT pg_try_advisory_lock(%(key)s);

-- name: is_running
SELECT EXISTS (SELECT FROM pg_locks
                WHERE locktype = 'advisory' AND classid = 0 AND objid = %(key)s AND objsubid = 1 AND granted
                  AND database = (SELECT oid FROM pg_database WHERE datname = current_database()));

-- name: save_progress
UPDATE panel.verifications SET position = %(position)s, log_end = %(end)s WHERE id = %(id)s;

-- name: save_outcome
UPDATE panel.verifications
   SET finished_at = now(), position = %(position)s, log_end = %(position)s, events = %(events)s,
       seconds = %(seconds)s, differences = %(differences)s, listed = %(listed)s
 WHERE id = %(id)s;

-- name: save_problem
UPDATE panel.verifications SET finished_at = now(), problem = %(problem)s WHERE id = %(id)s;

-- name: list_runs
SELECT v.id, v.started_at, coalesce(u.name, v.started_by), v.position, v.log_end, v.finished_at, v.events,
       v.seconds, v.differences, v.problem, v.listed::text
  FROM panel.verifications v
  LEFT JOIN read.users u ON u.id = v.started_by
 ORDER BY v.started_at DESC
 LIMIT %(limit)s;
