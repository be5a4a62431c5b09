-- name: select_tickets
-- Reads titles and descriptions, which may be long, only of tickets where an event replaces one of them.
SELECT {kept},
       CASE WHEN id = ANY(%(reworded)s) THEN title ELSE '' END,
       CASE WHEN id = ANY(%(reworded)s) THEN description ELSE '' END
  FROM tickets WHERE id = ANY(%(ids)s);

-- name: insert_tickets
INSERT INTO tickets ({stored})
SELECT {stored}
  FROM json_populate_recordset(NULL::tickets, %(rows)s::json)
    ON CONFLICT (id) DO NOTHING;

-- name: update_tickets
UPDATE tickets t
   SET {changes}
  FROM json_populate_recordset(NULL::tickets, %(rows)s::json) r
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
