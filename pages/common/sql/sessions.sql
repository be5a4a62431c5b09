-- The same as use_session, for a database that cannot write, and for requests that do not extend the session.
-- name: find_session
SELECT session.id, session.secret_sha256, session.started_at, person.id, person.name, person.role,
       person.property_ids, ''::text
  FROM access.sessions AS session
  JOIN read.users AS person ON person.id = session.user_id
 WHERE session.secret_sha256 = %(digest)s
   AND session.last_seen_at > now() - %(idle)s
   AND session.started_at > now() - %(absolute)s
   AND NOT EXISTS (SELECT FROM access.deactivated_people AS inactive WHERE inactive.user_id = session.user_id);

-- Finds the session with the current role and properties of its person, and stores the time of its use. It
-- does not wait for the disk: after a crash a session may only appear idle for longer.
-- name: use_session
UPDATE access.sessions AS session
   SET last_seen_at = now()
  FROM read.users AS person
 WHERE session.secret_sha256 = %(digest)s
   AND session.last_seen_at > now() - %(idle)s
   AND session.started_at > now() - %(absolute)s
   AND person.id = session.user_id
   AND NOT EXISTS (SELECT FROM access.deactivated_people AS inactive WHERE inactive.user_id = session.user_id)
RETURNING session.id, session.secret_sha256, session.started_at, person.id, person.name, person.role,
          person.property_ids, set_config('synchronous_commit', 'off', true);
