-- name: create_tickets
-- A plain table with the indexes that these four statements need, filled from the read table.
CREATE SCHEMA bare;
CREATE TABLE bare.tickets AS
SELECT t.id, title, description, status, priority, category, t.created_at, t.updated_at,
       t.property_id, p.name AS property_name, unit_id, n.name AS unit_name,
       requester_id, r.name AS requester_name, assignee_id, a.name AS assignee_name
  FROM read.tickets t
  LEFT JOIN read.properties p ON p.id = t.property_id
  LEFT JOIN read.units n ON n.property_id = t.property_id AND n.id = t.unit_id
  LEFT JOIN read.users r ON r.id = t.requester_id
  LEFT JOIN read.users a ON a.id = t.assignee_id
 WHERE NOT is_deleted;
ALTER TABLE bare.tickets ADD PRIMARY KEY (id);
CREATE INDEX tickets_created_at_idx ON bare.tickets (created_at, id);

-- name: list_tickets
SELECT (SELECT count(*) FROM bare.tickets), *
  FROM bare.tickets ORDER BY created_at DESC, id DESC LIMIT %(limit)s OFFSET %(offset)s;

-- name: get_ticket
SELECT t.*,
       (SELECT json_agg(json_build_object(
                   'id', c.id, 'text', c.text, 'user', json_build_object('id', u.id, 'name', u.name),
                   'created_at', to_char(c.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'))
                   ORDER BY c.ticket_version)::text
          FROM read.comments c LEFT JOIN read.users u ON u.id = c.author_id
         WHERE c.ticket_id = t.id),
       (SELECT json_agg(json_build_object(
                   'id', a.id, 'filename', a.filename, 'url', '', 'size', a.size_bytes,
                   'content_type', a.content_type,
                   'created_at', to_char(a.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'))
                   ORDER BY a.ticket_version)::text
          FROM read.attachments a
         WHERE a.ticket_id = t.id)
  FROM bare.tickets t WHERE t.id = %(id)s;

-- name: insert_ticket
INSERT INTO bare.tickets
SELECT %(id)s, %(title)s, %(description)s, 'open', %(priority)s, %(category)s, now(), now(),
       p.id, p.name, u.id, u.name, r.id, r.name, NULL, NULL
  FROM read.properties p
  LEFT JOIN read.units u ON u.property_id = p.id AND u.id = %(unit_id)s
  JOIN read.users r ON r.id = %(requester_id)s
 WHERE p.id = %(property_id)s
RETURNING *;

-- name: update_ticket
UPDATE bare.tickets SET title = %(title)s, updated_at = now() WHERE id = %(id)s RETURNING *;
