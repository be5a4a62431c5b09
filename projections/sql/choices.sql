-- name: properties
SELECT id, name FROM read.properties
 WHERE %(reach)s::text[] IS NULL OR id = ANY(%(reach)s)
 ORDER BY name, id LIMIT %(limit)s;

-- name: find_properties
-- Returns each text that identifies one property within reach, with the id of that property. A text is an id, an
-- id followed by other words, or a name that no other property has.
SELECT typed.text, coalesce(min(p.id) FILTER (WHERE p.id = split_part(typed.text, ' ', 1)), min(p.id))
  FROM unnest(%(texts)s::text[]) AS typed (text)
  JOIN read.properties p
    ON p.id = split_part(typed.text, ' ', 1) OR lower(p.name) = lower(typed.text)
 WHERE %(reach)s::text[] IS NULL OR p.id = ANY(%(reach)s)
 GROUP BY typed.text
HAVING count(*) = 1 OR bool_or(p.id = split_part(typed.text, ' ', 1));

-- name: units
SELECT id, name FROM read.units WHERE property_id = %(property_id)s ORDER BY name, id LIMIT %(limit)s;

-- name: find_unit
SELECT coalesce(min(id) FILTER (WHERE id = %(text)s), min(id)) FROM read.units
 WHERE property_id = %(property_id)s AND (id = %(text)s OR lower(name) = lower(%(text)s))
HAVING count(*) = 1 OR bool_or(id = %(text)s);

-- name: assignees
-- The people who may work on the property and are visible to the caller.
SELECT id, name FROM read.users
 WHERE is_active
   AND (role IN ('manager', 'staff') AND property_ids @> ARRAY[%(property_id)s]
        OR role = 'admin' AND (id = %(self)s OR %(sees_all)s))
 ORDER BY name, id LIMIT %(limit)s;

-- name: requesters
-- The active people of the property.
SELECT id, name FROM read.users
 WHERE is_active AND property_ids @> ARRAY[%(property_id)s]
 ORDER BY name, id LIMIT %(limit)s;

-- name: workers
-- The people to whom tickets of any property within reach may be assigned, and who are visible to the caller.
SELECT id, name FROM read.users
 WHERE is_active
   AND (role IN ('manager', 'staff') AND (%(reach)s::text[] IS NULL OR property_ids && %(reach)s)
        OR role = 'admin' AND (id = %(self)s OR %(reach)s::text[] IS NULL))
 ORDER BY name, id LIMIT %(limit)s;

-- name: people
SELECT email, name, role FROM read.users WHERE is_active ORDER BY name, id LIMIT %(limit)s;

-- name: find_person
-- Finds a person by id, or by an e-mail address that no other person has, as commands/email_addresses.py compares
-- addresses.
SELECT coalesce(min(id) FILTER (WHERE id = %(text)s), min(id)) FROM read.users
 WHERE id = %(text)s
    OR id = ANY((SELECT user_ids FROM privacy.email_addresses WHERE address_hmac = %(address_hmac)s)::text[])
HAVING count(*) = 1 OR bool_or(id = %(text)s);

-- name: find_ticket_number
SELECT number FROM read.tickets WHERE id = %(id)s;
