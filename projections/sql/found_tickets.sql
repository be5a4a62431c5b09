-- name: list_found
-- A page of the tickets that match a search, and their number. Which part of the statement finds the page depends on
-- counts that the statement makes first, not on the planner's estimates; the other parts are not executed then.
WITH parts AS MATERIALIZED ({parts}),
near AS MATERIALIZED (SELECT t.id FROM read.tickets t WHERE {anchor} {at_most}),
-- The tickets of a filter that few tickets pass, such as those of a person, are compared one by one.
scope AS MATERIALIZED (SELECT {is_near} AS is_near),
found_near AS MATERIALIZED (
    SELECT t.id, t.created_at, t.updated_at, t.priority_rank
      FROM near n
      JOIN read.tickets t ON t.id = n.id
     WHERE (SELECT is_near FROM scope) AND {filters} AND {matches}
),
matched AS {materialized} ({documents}),
total AS MATERIALIZED ({total}),
-- The first tickets of the order that match, if reading few tickets finds them.
walk AS MATERIALIZED (
    SELECT t.id, t.{key}
      FROM (SELECT *
              FROM (SELECT * FROM read.tickets t
                     WHERE (SELECT NOT is_near FROM scope) AND %(limit)s + %(offset)s <= {most_walked}
                       AND coalesce((SELECT number >= {frequent} FROM total), true)
                       AND NOT t.is_deleted {start} {after}
                     ORDER BY {order} LIMIT {most_read}) t
             WHERE {filters}
             ORDER BY {order} LIMIT {most_compared}) t
     WHERE {matches}
     ORDER BY {order} LIMIT %(limit)s + %(offset)s
),
rest AS MATERIALIZED (
    SELECT NOT is_near AND (SELECT count(*) FROM walk) < %(limit)s + %(offset)s AS is_needed FROM scope
),
page AS MATERIALIZED (
    SELECT t.id, t.{key}
      FROM (SELECT t.id, t.{key} FROM found_near t WHERE true {after}
             UNION ALL
            SELECT t.id, t.{key} FROM walk t WHERE (SELECT NOT is_needed FROM rest)
             UNION ALL
            SELECT t.id, t.{key} FROM {matched} t WHERE (SELECT is_needed FROM rest) {after}
             UNION ALL
            SELECT t.id, t.{key} FROM parts t WHERE (SELECT is_needed FROM rest) {after}) t
     ORDER BY {order}
     LIMIT %(limit)s OFFSET %(offset)s
)
SELECT (SELECT number FROM total), t.*, {names}
  FROM (VALUES (1)) one
  LEFT JOIN (SELECT {columns} FROM page p JOIN read.tickets t ON t.id = p.id) t ON true
 ORDER BY {order};

-- name: matches
-- A part of a WHERE clause: the ticket matches.
coalesce((SELECT d.search @@ %(q)s::tsquery FROM read.search_documents d WHERE d.ticket_id = t.id),
         t.id IN (SELECT id FROM parts))

-- name: count_found
-- `start` is the first value of the order.
SELECT n.number + d.number + p.number AS number, {first}(d.start, p.start) AS start
  FROM (SELECT count(*) AS number FROM found_near) n,
       (SELECT count(*) AS number, {extreme}(t.{counted}) AS start
          FROM matched t WHERE (SELECT NOT is_near FROM scope)) d,
       (SELECT count(*) AS number, {extreme}(t.{counted}) AS start
          FROM parts t WHERE (SELECT NOT is_near FROM scope)) p

-- name: count_nothing
SELECT NULL::bigint AS number

-- name: documents
-- The tickets that match, from the index of words. Reads no terms unless the search has phrases.
SELECT t.ticket_id AS id, t.created_at, t.priority_rank
  FROM read.search_documents t
 WHERE t.search @@ %(indexed)s::tsquery AND {filters}

-- name: documents_with_tickets
-- For filters by columns that documents do not have.
SELECT t.id, t.created_at, t.updated_at, t.priority_rank
  FROM ({documents}) d
  JOIN read.tickets t ON t.id = d.id
 WHERE {filters}

-- name: matched_with_changes
-- For the order by the last change, which documents do not have.
(SELECT t.id, t.updated_at FROM matched d JOIN read.tickets t ON t.id = d.id)

-- name: parts
-- The tickets without a document that match; different parts of a ticket may fulfil the conditions.
SELECT t.id, t.created_at, t.updated_at, t.priority_rank
  FROM ((SELECT p.ticket_id
           FROM unnest(%(required)s::text[]::tsquery[]) WITH ORDINALITY AS r (condition, number)
           JOIN read.search_parts p ON p.search @@ r.condition
          WHERE NOT p.in_document AND p.ended_at = 'infinity' AND p.visibility = ANY(%(visibilities)s)
          GROUP BY p.ticket_id
         HAVING count(DISTINCT r.number) = cardinality(%(required)s::text[])
         UNION ALL
         SELECT ticket_id FROM read.search_parts
          WHERE NOT in_document AND ended_at = 'infinity' AND part_id = ''
            AND cardinality(%(required)s::text[]) = 0)
        EXCEPT
        SELECT p.ticket_id
          FROM unnest(%(excluded)s::text[]::tsquery[]) AS r (condition)
          JOIN read.search_parts p ON p.search @@ r.condition
         WHERE NOT p.in_document AND p.ended_at = 'infinity' AND p.visibility = ANY(%(visibilities)s)) m
  JOIN read.tickets t ON t.id = m.ticket_id
 WHERE {filters}
