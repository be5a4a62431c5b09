-- name: keys
SELECT id, name FROM access.api_keys WHERE id = ANY(%(ids)s)
UNION ALL
SELECT id, name FROM access.oauth_clients WHERE id = ANY(%(ids)s);

-- name: find_keys
-- The keys and applications with that id or name.
SELECT id FROM access.api_keys WHERE id = %(text)s OR lower(name) = lower(%(text)s)
UNION ALL
SELECT id FROM access.oauth_clients WHERE id = %(text)s OR lower(name) = lower(%(text)s)
LIMIT %(limit)s;

-- name: properties
SELECT id, name FROM read.properties WHERE id = ANY(%(ids)s);

-- name: ticket_numbered
SELECT e.originator_id
  FROM read.audit_events a
  JOIN es.stored_events e ON e.notification_id = a.position
 WHERE a.position = %(number)s AND a.action = 'ticket.opened';
