-- name: worded
-- The tickets that match now. First those with a document: one look-up in the index. Then those without one, whose
-- conditions may be fulfilled by different parts. An array, because with a sub-select the planner may walk a sort
-- index and search all matches for each ticket.
t.id = ANY(ARRAY(
    SELECT ticket_id FROM read.search_documents WHERE search @@ %(q)s::tsquery
    UNION ALL
    (SELECT p.ticket_id
       FROM unnest(%(required)s::text[]::tsquery[]) WITH ORDINALITY AS r (condition, number)
       JOIN read.search_parts p ON p.search @@ r.condition
      WHERE NOT p.in_document AND p.ended_at = 'infinity' AND p.visibility = ANY(%(visibilities)s)
      GROUP BY p.ticket_id
     HAVING count(DISTINCT r.number) = cardinality(%(required)s::text[])
     UNION ALL
     SELECT ticket_id FROM read.search_parts
      WHERE NOT in_document AND ended_at = 'infinity' AND part_id = '' AND cardinality(%(required)s::text[]) = 0
     EXCEPT
     SELECT p.ticket_id
       FROM unnest(%(excluded)s::text[]::tsquery[]) AS r (condition)
       JOIN read.search_parts p ON p.search @@ r.condition
      WHERE NOT p.in_document AND p.ended_at = 'infinity' AND p.visibility = ANY(%(visibilities)s))))

-- name: worded_as_of
-- The tickets whose parts at the time fulfil every required condition and no excluded one.
(cardinality(%(required)s::text[]) = 0 OR t.id IN (
    SELECT m.ticket_id
      FROM unnest(%(required)s::text[]::tsquery[]) WITH ORDINALITY AS r (condition, number)
     CROSS JOIN LATERAL ({matches}) m
     GROUP BY m.ticket_id
    HAVING count(DISTINCT r.number) = cardinality(%(required)s::text[])))
AND t.id NOT IN (
    SELECT m.ticket_id
      FROM unnest(%(excluded)s::text[]::tsquery[]) AS r (condition)
     CROSS JOIN LATERAL ({matches}) m)

-- name: matches_as_of
-- The parts that fulfil `r.condition` and were in force at the time. Of texts these are the ones that ended first
-- after it. Parts within a document are found by the index of the documents.
SELECT p.ticket_id
  FROM (SELECT d.ticket_id, i.part_id, i.began_at, i.ended_at, i.visibility
          FROM read.search_documents d
          JOIN read.search_parts i ON i.ticket_id = d.ticket_id AND i.in_document AND i.search @@ r.condition
         WHERE d.search @@ r.condition
        UNION ALL
        SELECT ticket_id, part_id, began_at, ended_at, visibility
          FROM read.search_parts
         WHERE NOT in_document AND search @@ r.condition) p
 WHERE p.began_at <= %(as_of)s AND p.ended_at > %(as_of)s AND p.visibility = ANY(%(visibilities)s)
   AND NOT EXISTS (SELECT FROM read.search_parts y
                    WHERE y.ticket_id = p.ticket_id AND y.part_id = p.part_id
                      AND y.ended_at > %(as_of)s AND y.ended_at < p.ended_at)
