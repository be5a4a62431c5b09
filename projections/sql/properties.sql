-- name: list_properties
-- An empty page is one row with the total and nulls. `reach` is NULL for a caller who reaches every property.
WITH page AS (
    SELECT {columns}, {active} AS active_tickets_count
      FROM read.properties p
     WHERE (%(reach)s::text[] IS NULL OR p.id = ANY(%(reach)s))
       AND (%(external_id)s::text[] IS NULL OR {has_external_id}) AND {after}
     ORDER BY p.created_at DESC, p.id DESC
     LIMIT %(limit)s OFFSET %(offset)s
)
SELECT {total}, p.*
  FROM (VALUES (1)) one LEFT JOIN page p ON true ORDER BY p.created_at DESC, p.id DESC;

-- name: count_properties
(SELECT count(*) FROM read.properties p
  WHERE (%(reach)s::text[] IS NULL OR p.id = ANY(%(reach)s))
    AND (%(external_id)s::text[] IS NULL OR {has_external_id}))

-- name: get_property
SELECT {columns}, {active},
       (SELECT json_agg(json_build_object('id', u.id, 'name', u.name, 'external_ids', coalesce(u.external_ids, '{{}}'))
                        ORDER BY u.name, u.id)::text
          FROM (SELECT id, name, external_ids FROM read.units WHERE property_id = p.id
                 ORDER BY name, id LIMIT %(units)s) u)
  FROM read.properties p
 WHERE p.id = %(id)s;

-- name: count_active_tickets
coalesce((SELECT (SELECT sum(c.tickets[pair])::integer FROM unnest(ARRAY[{pairs}]) AS pair)
            FROM read.ticket_counts c
           WHERE c.property_id = p.id AND c.assignee_id = '*' AND c.category = '*'), 0)

-- name: property_names
SELECT id, name FROM read.properties WHERE id = ANY(%(ids)s);

-- name: list_units
WITH page AS (
    SELECT {columns} FROM read.units u
     WHERE u.property_id = %(property_id)s AND (%(external_id)s::text[] IS NULL OR {has_external_id}) AND {after}
     ORDER BY u.name, u.id
     LIMIT %(limit)s OFFSET %(offset)s
)
SELECT {total}, u.*
  FROM (VALUES (1)) one LEFT JOIN page u ON true ORDER BY u.name, u.id;

-- name: get_unit
SELECT {columns} FROM read.units u WHERE u.property_id = %(property_id)s AND u.id = %(id)s;

-- name: count_active_of_units
SELECT unit_id, count(*)
  FROM read.tickets
 WHERE NOT is_deleted AND property_id = %(property_id)s AND unit_id = ANY(%(ids)s)
   AND status IN ('open', 'in_progress')
 GROUP BY unit_id;

-- name: count_units
(SELECT count(*) FROM read.units u
  WHERE u.property_id = %(property_id)s AND (%(external_id)s::text[] IS NULL OR {has_external_id}))
