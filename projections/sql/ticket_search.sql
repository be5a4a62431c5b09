-- name: found
-- The tickets that match a search as of an earlier time. An array, because with a sub-select the planner may walk a sort
-- index and search all matches for each ticket. Computed once for the page and the total.
found AS MATERIALIZED (SELECT ARRAY({ids}) AS ids),

-- name: find_as_of
-- The tickets whose parts at the time fulfil every required condition and no excluded one, and the ticket whose number
-- is the search. All required conditions are fulfilled within a document, unless a part without document fulfils one of
-- them. The parts of a candidate are looked up one by one (LATERAL with OFFSET): a generic plan takes all tickets for
-- candidates, and would read all parts.
WITH conditions AS (
    SELECT * FROM unnest(%(required)s::text[]::tsquery[] || %(excluded)s::text[]::tsquery[])
                  WITH ORDINALITY AS c (condition, number)
), candidates AS MATERIALIZED (
    SELECT ticket_id FROM read.search_documents WHERE search @@ %(all_required)s::tsquery
    UNION
    SELECT ticket_id FROM read.search_parts WHERE NOT in_document AND search @@ %(any_required)s::tsquery
    UNION
    SELECT id FROM read.tickets WHERE cardinality(%(required)s::text[]) = 0
), matches AS MATERIALIZED (
    SELECT p.ticket_id, c.number
      FROM candidates d
     CROSS JOIN LATERAL (
           SELECT * FROM read.search_parts p
            WHERE p.ticket_id = d.ticket_id AND p.in_document AND {in_force}
           OFFSET 0) p
      JOIN conditions c ON p.search @@ c.condition
    UNION ALL
    SELECT p.ticket_id, c.number
      FROM conditions c
      JOIN read.search_parts p ON p.search @@ c.condition
     WHERE NOT p.in_document AND {in_force}
)
(SELECT ticket_id FROM matches
  WHERE number <= cardinality(%(required)s::text[])
  GROUP BY ticket_id
 HAVING count(DISTINCT number) = cardinality(%(required)s::text[])
 UNION ALL
 SELECT ticket_id FROM candidates WHERE cardinality(%(required)s::text[]) = 0)
EXCEPT
SELECT ticket_id FROM matches WHERE number > cardinality(%(required)s::text[])
UNION
SELECT originator_id FROM es.stored_events WHERE notification_id = %(number)s::bigint AND originator_version = 1

-- name: in_force
-- Of the texts of a ticket, those that ended first after the time were in force.
p.began_at <= %(as_of)s AND p.ended_at > %(as_of)s AND p.visibility = ANY(%(visibilities)s)
AND (p.part_id <> '' OR NOT EXISTS (
    SELECT FROM read.search_parts e
     WHERE e.ticket_id = p.ticket_id AND e.part_id = '' AND e.ended_at > %(as_of)s AND e.ended_at < p.ended_at))
