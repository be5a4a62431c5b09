-- name: select_users
SELECT {columns} FROM users WHERE id = ANY(%(ids)s);

-- name: save_users
INSERT INTO users AS u ({columns})
SELECT {columns}
  FROM json_populate_recordset(NULL::users, %(rows)s::json)
    ON CONFLICT (id) DO UPDATE
   SET {changes}
 WHERE u.version < excluded.version;

-- name: rename_requesters
UPDATE tickets t
   SET requester_name = u.name, names_changed = true
  FROM users u
 WHERE u.id = ANY(%(ids)s) AND t.requester_id = u.id;

-- name: rename_assignees
UPDATE tickets t
   SET assignee_name = u.name, names_changed = true
  FROM users u
 WHERE u.id = ANY(%(ids)s) AND t.assignee_id = u.id;

-- name: mark_tickets_of_authors
-- A ticket shows the names of the authors of its comments, which its row does not contain.
UPDATE tickets
   SET names_changed = true
 WHERE id IN (SELECT ticket_id FROM comments WHERE author_id = ANY(%(ids)s)) AND NOT names_changed;
