-- name: properties
SELECT id, name FROM read.properties
 WHERE %(mine)s::text[] IS NULL OR id = ANY(%(mine)s)
 ORDER BY name, id LIMIT %(limit)s;

-- name: assignees
-- Who may work on the property, of the people the caller sees.
SELECT id, name FROM read.users
 WHERE (role IN ('manager', 'staff') AND property_ids @> ARRAY[%(property_id)s])
    OR (role = 'admin' AND (id = %(self)s OR %(sees_all)s))
 ORDER BY name, id LIMIT %(limit)s;

-- name: people
SELECT email, name, role FROM read.users ORDER BY name, id LIMIT %(limit)s;

-- name: find_person
-- By id, or by the e-mail address when it is one person's alone.
SELECT min(id) FROM read.users
 WHERE id = %(text)s OR lower(email) = lower(%(text)s)
HAVING count(*) = 1;
