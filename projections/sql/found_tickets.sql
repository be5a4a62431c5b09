-- name: find_page
-- A page of the tickets that match a search, and their number. Which part of the statement finds the page depends on
-- counts that the statement makes first, not on the planner's estimates; the other parts are not executed then.
WITH parts AS MATERIALIZED ({parts}),
near AS MATERIALIZED (SELECT t.id FROM read.tickets t WHERE NOT t.is_deleted AND {anchor} {at_most}),
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
choice AS MATERIALIZED (
    SELECT NOT is_near AND {limit} + {offset} <= {most_walked}
           AND coalesce(number >= {frequent}, true) AS may_walk
      FROM scope, total
),
walk AS MATERIALIZED (
    SELECT t.id, t.{key}
      FROM (SELECT *
              FROM (SELECT * FROM read.tickets t
                     WHERE (SELECT may_walk FROM choice) AND NOT t.is_deleted {start} {after}
                     ORDER BY {order} LIMIT {most_read}) t
             WHERE {filters}
             ORDER BY {order} LIMIT {most_compared}) t
     WHERE {matches}
     ORDER BY {order} LIMIT {limit} + {offset}
),
-- All matches are needed unless the walk has filled the page, or has read all tickets.
rest AS MATERIALIZED (
    SELECT NOT is_near
           AND (SELECT count(*) FROM walk) < {limit} + {offset}
           AND (NOT may_walk
                OR EXISTS (SELECT FROM read.tickets t WHERE NOT t.is_deleted {start} {after}
                            ORDER BY {order} OFFSET {most_compared} LIMIT 1)) AS is_needed
      FROM scope, choice
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
     LIMIT {limit} OFFSET {offset}
)

-- name: show_page
{page}
SELECT (SELECT number FROM total), t.*, {names}
  FROM (VALUES (1)) one
  LEFT JOIN (SELECT {columns} FROM page p JOIN read.tickets t ON t.id = p.id) t ON true
 ORDER BY {order};

-- name: show_by_relevance
-- `page` has the newest matches. They come first, ordered by their score; the older ones follow with the score -1. A
-- cursor contains the first and the last of the newest matches, so that these stay the same on the pages after it.
{page},
ends AS MATERIALIZED ({ends}),
scored AS MATERIALIZED (SELECT t.id, t.created_at, {score} AS score FROM page t),
older AS MATERIALIZED (
    SELECT t.id, t.created_at, -1 AS score
      FROM (SELECT t.id, t.created_at FROM found_near t
             UNION ALL
            SELECT t.id, t.created_at FROM matched t WHERE (SELECT NOT is_near FROM scope)
             UNION ALL
            SELECT t.id, t.created_at FROM parts t WHERE (SELECT NOT is_near FROM scope)) t
     WHERE {is_older_needed} AND t.created_at <= (SELECT last_at FROM ends)
       AND (t.created_at < (SELECT last_at FROM ends) OR t.id < (SELECT last_id FROM ends))
),
ranked AS MATERIALIZED (
    SELECT t.id, t.created_at, t.score
      FROM (SELECT * FROM scored UNION ALL SELECT * FROM older) t
     WHERE true {after_score}
     ORDER BY {order_by_score}
     LIMIT %(limit)s OFFSET %(offset)s
)
SELECT (SELECT number FROM total), {columns}, {names}, t.relevance
  FROM (VALUES (1)) one
  LEFT JOIN (SELECT t.*, r.score,
                    concat_ws('|', r.score, r.created_at, e.first_at, e.first_id, e.last_at, e.last_id) AS relevance
               FROM ranked r
               JOIN read.tickets t ON t.id = r.id
              CROSS JOIN ends e) t ON true
 ORDER BY {order_by_score};

-- name: ends_of_page
-- If the page is not full, no match is older.
SELECT f.created_at AS first_at, f.id AS first_id, l.id AS last_id,
       CASE WHEN (SELECT count(*) FROM page) < {limit} THEN '-infinity' ELSE l.created_at END AS last_at
  FROM (SELECT * FROM page ORDER BY created_at DESC, id DESC LIMIT 1) f,
       (SELECT * FROM page ORDER BY created_at, id LIMIT 1) l

-- name: ends_of_cursor
SELECT %(first_at)s::timestamptz AS first_at, %(first_id)s::text AS first_id,
       %(last_at)s::timestamptz AS last_at, %(last_id)s::text AS last_id

-- name: between_ends
AND (t.created_at, t.id) <= (%(first_at)s::timestamptz, %(first_id)s)
AND (t.created_at, t.id) >= (%(last_at)s::timestamptz, %(last_id)s)

-- name: score
-- How well a ticket matches, in millionths. A word of the title counts as much as ten others (the weight B).
CASE WHEN cardinality(%(required)s::text[]) = 0 THEN 0
     ELSE coalesce((SELECT (1000000 * ts_rank_cd('{0.1, 0.1, 1, 0.1}', ts_filter(d.search, %(weights)s::"char"[]),
                                                 %(all_required)s::tsquery, 1))::bigint
                      FROM read.search_documents d WHERE d.ticket_id = t.id),
                   (SELECT (1000000 * sum(ts_rank_cd('{0.1, 0.1, 1, 0.1}', p.search,
                                                     %(any_required)s::tsquery, 1)))::bigint
                      FROM read.search_parts p
                     WHERE p.ticket_id = t.id AND p.ended_at = 'infinity'
                       AND p.visibility = ANY(%(visibilities)s)), 0) END

-- name: matches
-- A part of a WHERE clause: the ticket matches.
coalesce((SELECT d.search @@ %(q)s::tsquery FROM read.search_documents d WHERE d.ticket_id = t.id),
         t.id IN (SELECT id FROM parts))

-- name: matches_with_number
-- The ticket with the number may have a document that does not match.
(coalesce((SELECT d.search @@ %(q)s::tsquery FROM read.search_documents d WHERE d.ticket_id = t.id), false)
 OR t.id IN (SELECT id FROM parts))

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
 WHERE t.search @@ %(indexed)s::tsquery AND {document_filters}

-- name: documents_with_tickets
-- For filters by columns that documents do not have.
SELECT t.id, t.created_at, t.updated_at, t.priority_rank
  FROM (SELECT t.ticket_id FROM read.search_documents t
         WHERE t.search @@ %(indexed)s::tsquery AND {document_filters}) d
  JOIN read.tickets t ON t.id = d.ticket_id
 WHERE {ticket_filters}

-- name: matched_with_changes
-- For the order by the last change, which documents do not have.
(SELECT t.id, t.updated_at FROM matched d JOIN read.tickets t ON t.id = d.id)

-- name: parts
-- The tickets without a document that match; different parts of a ticket may fulfil the conditions.
SELECT t.id, t.created_at, t.updated_at, t.priority_rank
  FROM ((SELECT p.ticket_id
           FROM unnest(%(required)s::text[]::tsquery[]) WITH ORDINALITY AS r (condition, number)
           JOIN ({of_parts}) p ON p.search @@ r.condition
          GROUP BY p.ticket_id
         HAVING count(DISTINCT r.number) = cardinality(%(required)s::text[])
         UNION ALL
         SELECT ticket_id FROM read.search_parts
          WHERE NOT in_document AND ended_at = 'infinity' AND part_id = ''
            AND cardinality(%(required)s::text[]) = 0)
        EXCEPT
        SELECT p.ticket_id
          FROM unnest(%(excluded)s::text[]::tsquery[]) AS r (condition)
          JOIN ({of_parts}) p ON p.search @@ r.condition) m
  JOIN read.tickets t ON t.id = m.ticket_id
 WHERE {filters}

-- name: parts_and_number
-- With the ticket that has the number in the search, unless its document matches. UNION, because a part may match too.
{parts_with_words}
UNION
SELECT t.id, t.created_at, t.updated_at, t.priority_rank
  FROM es.stored_events e
  JOIN read.tickets t ON t.id = e.originator_id
 WHERE e.notification_id = %(number)s AND e.originator_version = 1 AND {filters}
   AND NOT EXISTS (SELECT FROM read.search_documents d WHERE d.ticket_id = t.id AND d.search @@ %(q)s::tsquery)

-- name: score_with_number
CASE WHEN t.id = (SELECT originator_id FROM es.stored_events WHERE notification_id = %(number)s) THEN 1000000000
     ELSE {score_of_words} END

-- name: parts_with_text
SELECT p.ticket_id, p.search
  FROM read.search_parts p
 WHERE NOT p.in_document AND p.ended_at = 'infinity' AND p.visibility = ANY(%(visibilities)s)

-- name: parts_with_names
-- With the terms that a document would have. Computed for all tickets without a document: they are few.
{parts_with_text}
 UNION ALL
SELECT t.id, {terms}
  FROM read.search_parts p
  JOIN read.tickets t ON t.id = p.ticket_id
 WHERE NOT p.in_document AND p.ended_at = 'infinity' AND p.part_id = ''
