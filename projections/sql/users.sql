-- name: list_users
-- An empty page is one row with the total and nulls.
WITH page AS (
    SELECT {columns}
      FROM read.users u
     WHERE {filters} AND {after}
     ORDER BY u.created_at DESC, u.id DESC
     LIMIT %(limit)s OFFSET %(offset)s
)
SELECT {total},
       u.*,
       (SELECT json_agg(json_build_object('id', i.id, 'name', coalesce(p.name, i.id)) ORDER BY i.id)::text
          FROM unnest(u.property_ids) AS i (id) LEFT JOIN read.properties p ON p.id = i.id)
  FROM (VALUES (1)) one LEFT JOIN page u ON true ORDER BY u.created_at DESC, u.id DESC;

-- name: count_users
(SELECT count(*) FROM read.users u WHERE {filters})

-- name: visible_users
-- Those of the people whom a caller of staff or above may see, as Caller.may_see_user decides.
SELECT id FROM read.users
 WHERE id = ANY(%(ids)s) AND (%(reach)s::text[] IS NULL OR property_ids && %(reach)s OR id = %(self)s);

-- name: get_user
SELECT {columns},
       (SELECT json_agg(json_build_object('id', i.id, 'name', coalesce(p.name, i.id)) ORDER BY i.id)::text
          FROM unnest(u.property_ids) AS i (id) LEFT JOIN read.properties p ON p.id = i.id)
  FROM read.users u
 WHERE u.id = %(id)s;
