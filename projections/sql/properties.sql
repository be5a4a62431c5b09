-- name: list_properties
WITH page AS (
    SELECT id, name, street, city, state, zip, country, units_count, active_tickets_count, created_at
      FROM read.properties
     ORDER BY created_at DESC, id DESC
     LIMIT %(limit)s OFFSET %(offset)s
)
SELECT (SELECT count(*) FROM read.properties), p.*
  FROM (VALUES (1)) one LEFT JOIN page p ON true ORDER BY p.created_at DESC, p.id DESC;

-- name: list_properties_within
WITH page AS (
    SELECT id, name, street, city, state, zip, country, units_count, active_tickets_count, created_at
      FROM read.properties
     WHERE id = ANY(%(reach)s)
     ORDER BY created_at DESC, id DESC
     LIMIT %(limit)s OFFSET %(offset)s
)
SELECT (SELECT count(*) FROM read.properties WHERE id = ANY(%(reach)s)), p.*
  FROM (VALUES (1)) one LEFT JOIN page p ON true ORDER BY p.created_at DESC, p.id DESC;

-- name: get_property
SELECT p.version, p.id, p.name, p.street, p.city, p.state, p.zip, p.country, p.units_count,
       p.active_tickets_count,
       (SELECT json_agg(json_build_object('id', u.id, 'name', u.name) ORDER BY u.name, u.id)::text
          FROM (SELECT id, name FROM read.units WHERE property_id = p.id
                 ORDER BY name, id LIMIT %(units)s) u)
  FROM read.properties p
 WHERE p.id = %(id)s;

-- name: property_names
SELECT id, name FROM read.properties WHERE id = ANY(%(ids)s);

-- name: list_units
WITH page AS (
    SELECT id, name FROM read.units WHERE property_id = %(property_id)s
     ORDER BY name, id
     LIMIT %(limit)s OFFSET %(offset)s
)
SELECT (SELECT count(*) FROM read.units WHERE property_id = %(property_id)s), u.id, u.name
  FROM (VALUES (1)) one LEFT JOIN page u ON true ORDER BY u.name, u.id;
