-- name: list_tickets_as_of
-- A ticket's state at the time is in `tickets` if it has not changed since, and otherwise in `past_tickets`: `replaced`
-- are the states of the second kind that match; they are few, because few tickets change often. The page merges them with
-- the first kind, which is read through an index: in the order of the list if there are many matches, otherwise all of
-- them. An index on a filter never helps the former, so that CASE hides the filters from the planner.
--
-- An empty page is one row with the total and nulls. Names are the present ones, and so are the numbers of comments, which
-- lists do not show. If title or description were replaced since, the texts as of the time are the first ones in
-- past_texts that ended after it.
WITH {found} replaced AS MATERIALIZED (
    SELECT t.id, {key} AS key FROM {replaced} t WHERE {replaced_filters}
), resting AS MATERIALIZED (
    SELECT count(*) AS number FROM (SELECT FROM read.tickets t WHERE {filters} {counted_limit}) matches
), page AS (
    (SELECT t.id, t.key, true AS is_replaced FROM replaced t WHERE true {after_key}
      ORDER BY t.key {order}, t.id {order} LIMIT %(offset)s::bigint + %(limit)s)
    UNION ALL
    (SELECT t.id, {key}, false FROM read.tickets t
      WHERE NOT t.is_deleted AND (SELECT number FROM resting) > {few} {after} AND {bound}
        AND CASE WHEN {filters} THEN true ELSE false END
      ORDER BY {key} {order}, t.id {order} LIMIT %(offset)s::bigint + %(limit)s)
    UNION ALL
    (SELECT t.id, t.key, false
       FROM (SELECT t.id, {key} AS key FROM read.tickets t
              WHERE {filters} AND (SELECT number FROM resting) <= {few} OFFSET 0) t
      WHERE true {after_key}
      ORDER BY t.key {order}, t.id {order} LIMIT %(offset)s::bigint + %(limit)s)
     ORDER BY key {order}, id {order} LIMIT %(limit)s OFFSET %(offset)s
), worded AS (
    SELECT t.*, g.key, g.id, n.position, n.comments_count, n.internal_comments_count, n.number,
           coalesce(x.title, n.title) AS title, coalesce(x.description, n.description) AS description
      FROM page g
      JOIN read.tickets n ON n.id = g.id
     CROSS JOIN LATERAL (
           SELECT {state_p} FROM read.past_tickets p
            WHERE g.is_replaced AND p.ticket_id = g.id AND p.updated_at <= %(as_of)s AND p.ended_at > %(as_of)s
            UNION ALL
           SELECT {state_n} WHERE NOT g.is_replaced) t
      LEFT JOIN LATERAL (SELECT title, description FROM read.past_texts
                          WHERE ticket_id = g.id AND ended_at > %(as_of)s ORDER BY ended_at LIMIT 1) x ON true
)
SELECT {total}, {columns}, {names}
  FROM (VALUES (1)) one LEFT JOIN worded t ON true
 ORDER BY t.key {order}, t.id {order};

-- name: total_as_of
(SELECT number FROM resting) + (SELECT count(*) FROM replaced)

-- name: in_force
-- The replaced states that were in force at the time. States whose duration has k binary digits lasted less than 2^k
-- seconds, so those in force began in the last 2^k seconds: a range of the index that has few others.
(SELECT p.ticket_id AS id, {state_p}
   FROM generate_series(0, {longest_bits}) AS d (bits)
  CROSS JOIN LATERAL (
        SELECT * FROM read.past_tickets p
         WHERE p.duration_bits = d.bits AND p.updated_at <= %(as_of)s AND p.ended_at > %(as_of)s
           AND p.updated_at > CASE WHEN d.bits < {longest_bits}
                                   THEN %(as_of)s::timestamptz - make_interval(secs => 2 ^ d.bits)
                                   ELSE '-infinity' END
        OFFSET 0) p)

-- name: in_force_by_requester
-- The filter by requester finds these states through its index.
(SELECT p.ticket_id AS id, {state_p} FROM read.past_tickets p
  WHERE p.updated_at <= %(as_of)s AND p.ended_at > %(as_of)s)

-- name: not_deleted_since
NOT EXISTS (SELECT FROM read.tickets d WHERE d.id = t.id AND d.is_deleted)
