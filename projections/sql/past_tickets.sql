-- name: list_tickets_as_of
-- An empty page is one row with the total and nulls. Names are the present ones, and so are the numbers of comments, which
-- lists do not show. If title or description were replaced since, the texts as of the time are the first ones in
-- past_texts that ended after it.
WITH {found} page AS (
    SELECT t.*
      FROM {source} t
     WHERE {filters} {after}
     ORDER BY {order}
     LIMIT %(limit)s OFFSET %(offset)s
), worded AS (
    SELECT t.*, n.comments_count, n.internal_comments_count,
           coalesce(x.title, n.title) AS title, coalesce(x.description, n.description) AS description
      FROM page t
      LEFT JOIN read.tickets n ON n.id = t.id
      LEFT JOIN LATERAL (SELECT title, description FROM read.past_texts
                          WHERE ticket_id = t.id AND ended_at > %(as_of)s ORDER BY ended_at LIMIT 1) x ON true
)
SELECT {total}, {columns}, {names} FROM (VALUES (1)) one LEFT JOIN worded t ON true ORDER BY {order};

-- name: tickets_as_of
(SELECT id, {columns} FROM read.tickets WHERE updated_at <= %(as_of)s
 UNION ALL
 SELECT ticket_id, {columns} FROM read.past_tickets WHERE updated_at <= %(as_of)s AND ended_at > %(as_of)s)

-- name: not_deleted_since
NOT EXISTS (SELECT FROM read.tickets d WHERE d.id = t.id AND d.is_deleted)
