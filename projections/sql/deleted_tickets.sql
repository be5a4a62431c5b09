-- name: list_deleted
-- A ticket cannot change while it is deleted, so its last event is the deletion.
SELECT t.id, t.number, t.title, coalesce(p.name, t.property_id), t.updated_at, coalesce(u.name, k.name)
  FROM read.tickets t
  LEFT JOIN read.properties p ON p.id = t.property_id
  LEFT JOIN read.audit_events a ON a.position = t.position
  LEFT JOIN read.users u ON u.id = a.actor_id
  LEFT JOIN access.api_keys k ON k.id = a.key_id
 WHERE t.is_deleted AND (%(reach)s::text[] IS NULL OR t.property_id = ANY(%(reach)s))
 ORDER BY t.updated_at DESC, t.id DESC
 LIMIT %(limit)s OFFSET %(offset)s;

-- name: count_deleted
SELECT count(*) FROM read.tickets t
 WHERE t.is_deleted AND (%(reach)s::text[] IS NULL OR t.property_id = ANY(%(reach)s));
