-- name: list_tickets
-- One statement, so that the page and the total belong together. The page is selected as ids, from indexes alone if
-- possible. The LIMITs in sub-selects keep the planner from joining in another way: its estimates are not needed.
-- An empty page is one row with the total and nulls.
WITH {steps}
SELECT {shown_total}, {columns}, {names}
  FROM (VALUES (1)) one
  LEFT JOIN (page CROSS JOIN LATERAL (SELECT * FROM read.tickets WHERE id = page.id LIMIT 1) t) ON true
 ORDER BY {order};

-- name: total
total AS MATERIALIZED (SELECT {total} AS n)

-- name: sum_counts
(SELECT coalesce(sum((SELECT sum(c.tickets[pair]) FROM unnest(%(pairs)s::integer[]) AS pair)), 0)::bigint
   FROM read.ticket_counts c
  WHERE c.property_id = ANY(%(counted_properties)s) AND c.assignee_id = ANY(%(counted_assignees)s)
    AND c.category = ANY(%(counted_categories)s))

-- name: rarer
-- Whether fewer tickets have the tags than are in the properties: by which of the two they are gathered.
rarer AS MATERIALIZED (
    SELECT coalesce(sum(n) FILTER (WHERE c.property_id = '*'), 0)
           <= coalesce(sum(n) FILTER (WHERE c.property_id <> '*'), 0) AS is_tag
      FROM (SELECT * FROM read.ticket_counts
             WHERE property_id = '*' AND assignee_id = '*' AND category = ANY(%(counted_tags)s)
             UNION ALL
            SELECT * FROM read.ticket_counts
             WHERE property_id = ANY(%(properties)s) AND assignee_id = '*' AND category = '*') c
     CROSS JOIN LATERAL unnest(c.tickets) AS n)

-- name: assignments
-- The counts of each pair of a property and an assignee that the filter finds.
assignments AS MATERIALIZED (
    SELECT t.assignee_id, t.tickets, ({named}) IS TRUE AS is_named
      FROM (SELECT property_id, nullif(assignee_id, '') AS assignee_id, tickets
              FROM read.ticket_counts
             WHERE property_id <> '*' AND assignee_id <> '*' AND category = '*') t
     WHERE true {matching})

-- name: sum_assignments
(SELECT coalesce(sum((SELECT sum(a.tickets[pair]) FROM unnest(%(pairs)s::integer[]) AS pair
                       WHERE a.is_named OR pair = ANY(%(pairs_of_inactive)s::integer[]))), 0)::bigint
   FROM assignments a)

-- name: count_by_key
(SELECT coalesce(sum(s.n), 0)::bigint FROM {keys} CROSS JOIN LATERAL ({scans}) s)

-- name: count_scan
(SELECT count(*) AS n FROM read.tickets t WHERE NOT t.is_deleted {filters})

-- name: span
-- Which part of the list the page is, counted from the nearer end.
span AS MATERIALIZED (
    SELECT from_end, take, CASE WHEN from_end THEN greatest(n - %(offset)s - take, 0) ELSE %(offset)s END AS skip
      FROM (SELECT n, %(offset)s > n / 2 AS from_end, greatest(least(%(limit)s, n - %(offset)s), 0) AS take
              FROM total) t)

-- name: scan
SELECT {wanted} FROM read.tickets t WHERE NOT t.is_deleted {filters}

-- name: ordered
-- Walks an index, or one range of it for each status, in the order of the list. Several scans become a merge.
(SELECT t.id FROM ({scans}) t WHERE {gate} ORDER BY {order} LIMIT {limit} OFFSET {offset})

-- name: streams
-- Walks the range of each key in the order of the list, and merges their beginnings.
(SELECT t.id FROM {keys} CROSS JOIN LATERAL ({scans}) t
  WHERE {gate} ORDER BY {order} LIMIT {limit} OFFSET {offset})

-- name: first_of_scan
(SELECT {wanted} FROM read.tickets t WHERE NOT t.is_deleted {filters}
  ORDER BY {order} LIMIT {limit}::bigint + {offset}::bigint)

-- name: walked
-- The page, if it is among the first entries in the order of the list.
(SELECT t.id FROM (SELECT * FROM ({scans}) t WHERE {gate} ORDER BY {order} LIMIT %(probe)s) t
  WHERE true {filters} ORDER BY {order} LIMIT {limit} OFFSET {offset})

-- name: walked_by_id
-- The same, if the index of the order lacks columns of the filters. The look-ups by id are a sub-select so that the
-- walk needs no other columns: the planner would otherwise take another index and sort.
(SELECT t.id FROM (SELECT * FROM ({scans}) t WHERE {gate} ORDER BY {order} LIMIT %(probe)s) t
  CROSS JOIN LATERAL (SELECT FROM (SELECT * FROM read.tickets WHERE id = t.id LIMIT 1) t WHERE true {filters}) found
  ORDER BY {order} LIMIT {limit} OFFSET {offset})

-- name: choice
-- Whether to gather all tickets: if they are few, or if the walk has not found the page.
choice AS MATERIALIZED (
    SELECT n <= %(few)s
           OR (SELECT count(*) FROM walked) < greatest(least(%(limit)s, n - %(offset)s), 0) AS gather
      FROM total)

-- name: gathered
(SELECT t.id FROM {keys} CROSS JOIN LATERAL ({scans} OFFSET 0) t WHERE {gate}
  ORDER BY {order} LIMIT {limit} OFFSET {offset})
