-- name: read_stalling_sessions
-- Without the short locks of the followers themselves while the beginning of their transactions is not visible:
-- successive transactions of one session would look like one.
SELECT after, waits, pid, prepared, application, role, client, state, since
  FROM es.stalling_sessions(%(followers)s)
 WHERE since IS NOT NULL OR waits IS NULL OR application IS NULL OR NOT application = ANY(%(followers)s);
