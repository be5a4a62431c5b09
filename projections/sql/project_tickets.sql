-- name: select_tickets
-- Reads titles and descriptions, which may be long, only of tickets where an event replaces one of them.
SELECT {kept},
       CASE WHEN id = ANY(%(reworded)s) THEN title ELSE '' END,
       CASE WHEN id = ANY(%(reworded)s) THEN description ELSE '' END
  FROM tickets WHERE id = ANY(%(ids)s);

-- name: insert_tickets
INSERT INTO tickets ({stored}, property_name, unit_name, requester_name, assignee_name)
SELECT {stored_r}, coalesce(p.name, r.property_id), coalesce(n.name, r.unit_id),
       coalesce(q.name, k.name, r.requester_id), coalesce(a.name, r.assignee_id)
  FROM json_populate_recordset(NULL::tickets, %(rows)s::json) r
  LEFT JOIN properties p ON p.id = r.property_id
  LEFT JOIN units n ON n.property_id = r.property_id AND n.id = r.unit_id
  LEFT JOIN users q ON q.id = r.requester_id
  LEFT JOIN access.services k ON k.id = r.requester_id
  LEFT JOIN users a ON a.id = r.assignee_id
    ON CONFLICT (id) DO NOTHING;

-- name: update_tickets
UPDATE tickets t
   SET {changes}, names_changed = false,
       property_name = coalesce(p.name, r.property_id), unit_name = coalesce(n.name, r.unit_id),
       requester_name = coalesce(q.name, k.name, r.requester_id), assignee_name = coalesce(a.name, r.assignee_id)
  FROM json_populate_recordset(NULL::tickets, %(rows)s::json) r
  LEFT JOIN properties p ON p.id = r.property_id
  LEFT JOIN units n ON n.property_id = r.property_id AND n.id = r.unit_id
  LEFT JOIN users q ON q.id = r.requester_id
  LEFT JOIN access.services k ON k.id = r.requester_id
  LEFT JOIN users a ON a.id = r.assignee_id
 WHERE t.id = r.id AND t.version < r.version;

-- name: update_texts
-- Separate from update_tickets, so that long texts are written only when they change.
UPDATE tickets t
   SET title = coalesce(r.title, t.title), description = coalesce(r.description, t.description)
  FROM json_populate_recordset(NULL::tickets, %(rows)s::json) r
 WHERE t.id = r.id;

-- name: delete_attachments
DELETE FROM attachments WHERE id = ANY(%(ids)s);

-- name: insert_attachments
INSERT INTO attachments ({attachments})
SELECT {attachments}
  FROM json_populate_recordset(NULL::attachments, %(rows)s::json)
    ON CONFLICT (id) DO NOTHING;
