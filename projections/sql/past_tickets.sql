-- name: list_tickets_as_of
-- An empty page is one row with the total and nulls. Names are current, and so are the numbers of comments, which
-- lists do not show. If title or description were replaced since, the texts as of the time are the first ones in
-- past_texts that ended after it.
WITH {found} page AS (
    SELECT t.*
      FROM {source} t
     WHERE {filters} {after}
     ORDER BY {order}
     LIMIT %(limit)s OFFSET %(offset)s
), named AS (
    SELECT t.*, true AS names_changed, n.comments_count, n.internal_comments_count,
           coalesce(x.title, n.title) AS title, coalesce(x.description, n.description) AS description,
           coalesce(p.name, t.property_id) AS property_name, coalesce(u.name, t.unit_id) AS unit_name,
           coalesce(q.name, k.name, t.requester_id) AS requester_name,
           coalesce(a.name, t.assignee_id) AS assignee_name
      FROM page t
      LEFT JOIN read.tickets n ON n.id = t.id
      LEFT JOIN LATERAL (SELECT title, description FROM read.past_texts
                          WHERE ticket_id = t.id AND ended_at > %(as_of)s ORDER BY ended_at LIMIT 1) x ON true
      LEFT JOIN read.properties p ON p.id = t.property_id
      LEFT JOIN read.units u ON u.property_id = t.property_id AND u.id = t.unit_id
      LEFT JOIN read.users q ON q.id = t.requester_id
      LEFT JOIN access.services k ON k.id = t.requester_id
      LEFT JOIN read.users a ON a.id = t.assignee_id
)
SELECT {total}, {columns} FROM (VALUES (1)) one LEFT JOIN named t ON true ORDER BY {order};

-- name: tickets_as_of
(SELECT id, {columns} FROM read.tickets WHERE updated_at <= %(as_of)s
 UNION ALL
 SELECT ticket_id, {columns} FROM read.past_tickets WHERE updated_at <= %(as_of)s AND ended_at > %(as_of)s)

-- name: not_deleted_since
NOT EXISTS (SELECT FROM read.tickets d WHERE d.id = t.id AND d.is_deleted)
