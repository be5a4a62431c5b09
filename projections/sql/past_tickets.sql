-- name: list_tickets_as_of
-- One row without a ticket when the page is empty. Names are those of today; a title and description that
-- were replaced since are the ones that ended first after the moment.
WITH page AS (
    SELECT t.id, t.status, t.priority, t.category, t.created_at, t.updated_at, t.property_id, t.unit_id,
           t.requester_id, t.assignee_id, t.priority_rank
      FROM {source} t
     WHERE {filters} {after}
     ORDER BY {order}
     LIMIT %(limit)s OFFSET %(offset)s
)
SELECT {total}, t.id, coalesce(x.title, n.title), coalesce(x.description, n.description), t.status, t.priority,
       t.category, t.created_at, t.updated_at, t.property_id, coalesce(p.name, t.property_id),
       t.unit_id, coalesce(u.name, t.unit_id), t.requester_id, coalesce(q.name, k.name, t.requester_id),
       t.assignee_id, coalesce(a.name, t.assignee_id), t.priority_rank
  FROM (VALUES (1)) one
  LEFT JOIN page t ON true
  LEFT JOIN read.tickets n ON n.id = t.id
  LEFT JOIN LATERAL (SELECT title, description FROM read.past_texts
                      WHERE ticket_id = t.id AND ended_at > %(as_of)s ORDER BY ended_at LIMIT 1) x ON true
  LEFT JOIN read.properties p ON p.id = t.property_id
  LEFT JOIN read.units u ON u.property_id = t.property_id AND u.id = t.unit_id
  LEFT JOIN read.users q ON q.id = t.requester_id
  LEFT JOIN access.services k ON k.id = t.requester_id
  LEFT JOIN read.users a ON a.id = t.assignee_id
 ORDER BY {order};

-- name: tickets_as_of
(SELECT id, version, status, priority, priority_rank, category, property_id, unit_id, requester_id,
        assignee_id, is_deleted, created_at, updated_at
   FROM read.tickets
  WHERE updated_at <= %(as_of)s
 UNION ALL
 SELECT ticket_id, version, status, priority, priority_rank, category, property_id, unit_id, requester_id,
        assignee_id, is_deleted, created_at, updated_at
   FROM read.past_tickets
  WHERE updated_at <= %(as_of)s AND ended_at > %(as_of)s)

-- name: not_deleted_since
NOT EXISTS (SELECT FROM read.tickets d WHERE d.id = t.id AND d.is_deleted)

-- name: worded_as_of
-- The present words where none were replaced since; of those that were, the ones in force at the moment.
t.id IN (
    SELECT n.id FROM read.tickets n
     WHERE n.search @@ websearch_to_tsquery('english', %(q)s)
       AND NOT EXISTS (SELECT FROM read.past_texts x WHERE x.ticket_id = n.id AND x.ended_at > %(as_of)s)
    UNION ALL
    SELECT x.ticket_id FROM read.past_texts x
     WHERE x.search @@ websearch_to_tsquery('english', %(q)s) AND x.ended_at > %(as_of)s
       AND NOT EXISTS (SELECT FROM read.past_texts y
                        WHERE y.ticket_id = x.ticket_id AND y.ended_at > %(as_of)s AND y.ended_at < x.ended_at)
    UNION ALL
    SELECT c.ticket_id FROM read.comments c
     WHERE c.search @@ websearch_to_tsquery('english', %(q)s) AND c.visibility = ANY(%(visibilities)s)
       AND c.created_at <= %(as_of)s)
