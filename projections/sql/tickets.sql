-- name: shown_names
-- The present names of a ticket's ids. Sub-selects and not joins: the planner does not know how few rows a page has, and
-- would read all people for a join.
coalesce((SELECT name FROM read.properties WHERE id = t.property_id), t.property_id),
coalesce((SELECT name FROM read.units WHERE property_id = t.property_id AND id = t.unit_id), t.unit_id),
coalesce((SELECT name FROM read.users WHERE id = t.requester_id),
         (SELECT name FROM access.services WHERE id = t.requester_id), t.requester_id),
coalesce((SELECT name FROM read.users WHERE id = t.assignee_id), t.assignee_id)

-- name: has_inactive_assignee
-- A part of a WHERE clause: the assignee is deactivated, erased, or without access to the property. The same rule as
-- User.may_work_on in domain/user.py.
t.assignee_id IS NOT NULL AND NOT EXISTS (
    SELECT FROM read.users AS worker
     WHERE worker.id = t.assignee_id AND worker.is_active
       AND (worker.role = 'admin' OR worker.role <> 'guest' AND worker.property_ids @> ARRAY[t.property_id]))

-- name: get_ticket
-- The ticket's row in the read tables, the newest version in the log, and the newest comments, the oldest first.
-- `names_changed`: a name in the answer is newer than the ticket's last event.
SELECT {columns},
       coalesce(p.name, t.property_id), coalesce(n.name, t.unit_id),
       coalesce(q.name, (SELECT name FROM access.services WHERE id = t.requester_id), t.requester_id),
       coalesce(a.name, t.assignee_id), NULL::text,
       coalesce(greatest(p.name_position, n.name_position, q.name_position, a.name_position, c.name_position)
                >= e.notification_id, false),
       e.originator_version, e.notification_id, e.topic, c.comments::text, ({files})::text
  FROM (SELECT originator_version, notification_id, topic FROM es.stored_events
         WHERE originator_id = %(id)s ORDER BY originator_version DESC LIMIT 1) e
  LEFT JOIN read.tickets t ON t.id = %(id)s
  LEFT JOIN read.properties p ON p.id = t.property_id
  LEFT JOIN read.units n ON n.property_id = t.property_id AND n.id = t.unit_id
  LEFT JOIN read.users q ON q.id = t.requester_id
  LEFT JOIN read.users a ON a.id = t.assignee_id
  LEFT JOIN LATERAL ({comments}) c ON true;

-- name: list_attachments
SELECT {columns} FROM read.attachments a WHERE a.ticket_id = %(ticket_id)s ORDER BY a.ticket_version;

-- name: get_attachment
SELECT {columns}
  FROM read.attachments a JOIN read.tickets t ON t.id = a.ticket_id
 WHERE a.id = %(id)s AND NOT t.is_deleted;

-- name: numbers_of
SELECT originator_id, notification_id FROM es.stored_events WHERE originator_id = ANY(%(ids)s) AND originator_version = 1;

-- name: names_of
-- The number of a ticket, and its names.
SELECT (SELECT notification_id FROM es.stored_events WHERE originator_id = %(ticket_id)s AND originator_version = 1),
       (SELECT name FROM read.properties WHERE id = %(property_id)s),
       (SELECT name FROM read.units WHERE property_id = %(property_id)s AND id = %(unit_id)s),
       coalesce((SELECT name FROM read.users WHERE id = %(requester_id)s),
                (SELECT name FROM access.services WHERE id = %(requester_id)s)),
       (SELECT name FROM read.users WHERE id = %(assignee_id)s);

-- name: author_names
SELECT id, name FROM access.services WHERE id = ANY(%(ids)s)
UNION ALL
SELECT id, name FROM read.users WHERE id = ANY(%(ids)s);
