-- name: read_state
-- The position of the read tables, which tables these are (a rebuild exchanges them), and the rights of the caller.
SELECT (SELECT position FROM read.projector_position), to_regclass('read.tickets')::oid::bigint,
       u.role, u.property_ids, coalesce(u.position, 0), k.role, k.property_ids
  FROM (VALUES (1)) one
  LEFT JOIN read.users u ON u.id = %(user_id)s
  LEFT JOIN (SELECT role, property_ids FROM access.api_keys WHERE id = %(credential_id)s
              UNION ALL
             SELECT role, property_ids FROM access.oauth_clients WHERE id = %(credential_id)s) k ON true;

-- name: read_tables
SELECT to_regclass('read.tickets')::oid::bigint;

-- name: read_end
SELECT coalesce(max(notification_id), 0) FROM es.stored_events;

-- name: user_events
SELECT state FROM es.stored_events
 WHERE originator_id = %(user_id)s AND notification_id <= %(position)s ORDER BY originator_version;

-- name: property_ids
SELECT id FROM read.properties;

-- name: changed
-- Rows in the order of their last events. The innermost part bounds how many are read when few of them are visible.
SELECT {selected}
  FROM (SELECT * FROM (SELECT * FROM read.{table} t
                        WHERE t.position > %(after)s AND t.position <= %(end)s
                        ORDER BY t.position LIMIT {examined}) t
         WHERE {visible} ORDER BY t.position LIMIT %(limit)s) t
 ORDER BY t.position;

-- name: examined_end
-- The position of the last row that the statement `changed` has read; NULL if it has read all of them.
SELECT CASE WHEN count(*) = {examined} THEN max(position) END
  FROM (SELECT t.position FROM read.{table} t WHERE t.position > %(after)s AND t.position <= %(end)s
         ORDER BY t.position LIMIT {examined}) t;

-- name: properties_of_user
(SELECT json_agg(json_build_object('id', i.id, 'name', coalesce(p.name, i.id)) ORDER BY i.id)::text
   FROM unnest(t.property_ids) AS i (id) LEFT JOIN read.properties p ON p.id = i.id)

-- name: user_within_reach
t.property_ids && %(reach)s OR t.id = %(self)s

-- name: user_left_reach
-- The last event of the user concerned a property in reach: an erasure takes all properties.
EXISTS (SELECT FROM read.audit_events a
         WHERE a.position = t.position AND string_to_array(a.property_ids, ' ') && %(reach)s)

-- name: moved_away
-- Tickets and users that left a property in reach, and are in none now.
SELECT a.position, e.originator_id, e.originator_version, t.id IS NOT NULL
  FROM read.audit_events a
  JOIN es.stored_events e ON e.notification_id = a.position
  LEFT JOIN read.tickets t ON t.id = e.originator_id
  LEFT JOIN read.users u ON u.id = e.originator_id
 WHERE a.left_ids IS NOT NULL AND a.position > %(after)s AND a.position <= %(end)s
   AND a.action = ANY(%(actions)s) AND string_to_array(a.left_ids, ' ') && %(reach)s
   AND (t.property_id <> ALL(%(reach)s) AND (%(requester)s::text IS NULL OR t.requester_id = %(requester)s)
        OR NOT u.property_ids && %(reach)s AND u.id <> %(self)s)
 ORDER BY a.position LIMIT %(limit)s;

-- name: given_away
-- Tickets that the requester had, and that another has now. Of those in reach: the ticket was in reach then, or
-- had been before.
SELECT a.position, e.originator_id, e.originator_version, true
  FROM read.audit_events a
  JOIN es.stored_events e ON e.notification_id = a.position
  JOIN read.tickets t ON t.id = e.originator_id
 WHERE a.left_ids IS NOT NULL AND a.position > %(after)s AND a.position <= %(end)s
   AND a.left_ids = '~' || %(requester)s::text AND t.requester_id <> %(requester)s
   AND (%(reach)s::text[] IS NULL
        OR string_to_array(a.property_ids, ' ') && %(reach)s
        OR EXISTS (SELECT FROM read.audit_events m
                    WHERE m.subject_key = a.subject_key AND m.position < a.position
                      AND string_to_array(m.left_ids, ' ') && %(reach)s))
 ORDER BY a.position LIMIT %(limit)s;

-- name: concerned
-- What the events of a span of the log concern, for requests that wait for a change.
SELECT split_part(a.action, '.', 1), a.property_ids, a.subject_key, t.requester_id,
       CASE WHEN a.left_ids LIKE '~%%' THEN substr(a.left_ids, 2) END
  FROM read.audit_events a
  LEFT JOIN read.tickets t ON t.position = a.position
 WHERE a.position > %(after)s AND a.position <= %(end)s
   AND split_part(a.action, '.', 1) IN ('ticket', 'property', 'user')
 LIMIT %(limit)s;

-- name: shown_position
SELECT position FROM read.projector_position;
