-- name: list_users
WITH page AS (
    SELECT u.id, u.name, u.email, u.role, u.created_at, u.property_ids
      FROM read.users u
     WHERE {filters}
     ORDER BY u.created_at DESC, u.id DESC
     LIMIT %(limit)s OFFSET %(offset)s
)
SELECT (SELECT count(*) FROM read.users u WHERE {filters}),
       u.id, u.name, u.email, u.role, u.created_at,
       (SELECT json_agg(json_build_object('id', i.id, 'name', coalesce(p.name, i.id)) ORDER BY i.id)::text
          FROM unnest(u.property_ids) AS i (id) LEFT JOIN read.properties p ON p.id = i.id)
  FROM (VALUES (1)) one LEFT JOIN page u ON true ORDER BY u.created_at DESC, u.id DESC;

-- name: get_user
SELECT u.id, u.version, u.name, u.email, u.phone, u.role, u.property_ids, u.preferences::text,
       u.created_at, u.updated_at,
       (SELECT json_agg(json_build_object('id', i.id, 'name', coalesce(p.name, i.id)) ORDER BY i.id)::text
          FROM unnest(u.property_ids) AS i (id) LEFT JOIN read.properties p ON p.id = i.id)
  FROM read.users u
 WHERE u.id = %(id)s;
