-- name: read_stalling_sessions
SELECT after, waits, pid, prepared, application, role, client, state, since
  FROM es.stalling_sessions(%(followers)s);
