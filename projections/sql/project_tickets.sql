-- name: select_tickets
-- Texts may be long: only those that are about to be replaced.
SELECT id, version, status, priority, category, property_id, unit_id, requester_id, assignee_id, is_deleted,
       created_at, updated_at,
       CASE WHEN id = ANY(%(reworded)s) THEN title ELSE '' END,
       CASE WHEN id = ANY(%(reworded)s) THEN description ELSE '' END
  FROM tickets WHERE id = ANY(%(ids)s);

-- name: insert_tickets
INSERT INTO tickets (id, version, title, description, status, priority, priority_rank, category,
                     property_id, property_name, unit_id, unit_name, requester_id, requester_name,
                     assignee_id, assignee_name, is_deleted, created_at, updated_at)
SELECT r.id, r.version, r.title, r.description, r.status, r.priority, r.priority_rank, r.category,
       r.property_id, coalesce(p.name, r.property_id), r.unit_id, coalesce(n.name, r.unit_id),
       r.requester_id, coalesce(q.name, k.name, r.requester_id),
       r.assignee_id, coalesce(a.name, r.assignee_id), r.is_deleted, r.created_at, r.updated_at
  FROM json_populate_recordset(NULL::tickets, %(rows)s::json) r
  LEFT JOIN properties p ON p.id = r.property_id
  LEFT JOIN units n ON n.property_id = r.property_id AND n.id = r.unit_id
  LEFT JOIN users q ON q.id = r.requester_id
  LEFT JOIN access.services k ON k.id = r.requester_id
  LEFT JOIN users a ON a.id = r.assignee_id
    ON CONFLICT (id) DO NOTHING;

-- name: update_tickets
UPDATE tickets t
   SET version = r.version, status = r.status, priority = r.priority, priority_rank = r.priority_rank,
       category = r.category, property_id = r.property_id, property_name = coalesce(p.name, r.property_id),
       unit_id = r.unit_id, unit_name = coalesce(n.name, r.unit_id),
       requester_name = coalesce(q.name, k.name, r.requester_id),
       assignee_id = r.assignee_id, assignee_name = coalesce(a.name, r.assignee_id),
       is_deleted = r.is_deleted, updated_at = r.updated_at, names_changed = false
  FROM json_populate_recordset(NULL::tickets, %(rows)s::json) r
  LEFT JOIN properties p ON p.id = r.property_id
  LEFT JOIN units n ON n.property_id = r.property_id AND n.id = r.unit_id
  LEFT JOIN users q ON q.id = r.requester_id
  LEFT JOIN access.services k ON k.id = r.requester_id
  LEFT JOIN users a ON a.id = r.assignee_id
 WHERE t.id = r.id AND t.version < r.version;

-- name: update_texts
-- Apart from update_tickets, because naming these columns makes PostgreSQL index their words anew.
UPDATE tickets t
   SET title = coalesce(r.title, t.title), description = coalesce(r.description, t.description)
  FROM json_populate_recordset(NULL::tickets, %(rows)s::json) r
 WHERE t.id = r.id;

-- name: insert_comments
INSERT INTO comments (id, ticket_id, ticket_version, text, visibility, author_id, created_at)
SELECT id, ticket_id, ticket_version, text, visibility, author_id, created_at
  FROM json_populate_recordset(NULL::comments, %(rows)s::json)
    ON CONFLICT (id) DO NOTHING;

-- name: insert_attachments
INSERT INTO attachments (id, ticket_id, ticket_version, filename, content_type, size_bytes, sha256, created_at)
SELECT id, ticket_id, ticket_version, filename, content_type, size_bytes, sha256, created_at
  FROM json_populate_recordset(NULL::attachments, %(rows)s::json)
    ON CONFLICT (id) DO NOTHING;

-- name: count_active_tickets
UPDATE properties p
   SET active_tickets_count = active_tickets_count + d.change
  FROM unnest(%(property_ids)s::text[], %(changes)s::integer[]) AS d (id, change)
 WHERE p.id = d.id;
