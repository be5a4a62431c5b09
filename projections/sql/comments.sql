-- name: list_comments
-- The comparison of rows: see get_ticket in tickets.sql.
SELECT {columns}, coalesce(u.name, k.name, c.author_id)
  FROM read.tickets t
 CROSS JOIN LATERAL (
        SELECT * FROM read.comments
         WHERE (ticket_id, ticket_version) > (t.id, %(after)s::bigint)
           AND (ticket_id, ticket_version) <= (t.id, 9223372036854775807) AND {visible}
         ORDER BY ticket_id, ticket_version LIMIT %(limit)s OFFSET %(offset)s) c
  LEFT JOIN read.users u ON u.id = c.author_id
  LEFT JOIN access.services k ON k.id = c.author_id
 WHERE t.id = %(ticket_id)s
 ORDER BY c.ticket_version;

-- name: get_comment
SELECT {columns}, coalesce(u.name, k.name, c.author_id)
  FROM read.comments c
  LEFT JOIN read.users u ON u.id = c.author_id
  LEFT JOIN access.services k ON k.id = c.author_id
 WHERE c.id = %(id)s AND c.ticket_id = %(ticket_id)s;

-- name: find_place
SELECT t.version, c.ticket_version, c.text_version
  FROM read.tickets t LEFT JOIN read.comments c ON c.id = %(id)s AND c.ticket_id = t.id
 WHERE t.id = %(ticket_id)s;

-- name: select_text_versions
SELECT id, text_version FROM read.comments WHERE id = ANY(%(ids)s);
