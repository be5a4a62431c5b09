-- name: count_tickets
-- The rows of ticket_counts, counted from the tickets in `{tickets}`: first for each combination of values, then
-- summed for the combinations that have rows (projections/project_counts.py). `{pairs}` are the sums of `n` for each
-- pair of status and priority.
WITH cells AS MATERIALIZED (
    SELECT property_id, coalesce(assignee_id, '') AS assignee_id, category, status, priority, count(*) AS n
      FROM {tickets}
     WHERE NOT is_deleted
     GROUP BY 1, 2, 3, 4, 5
), tagged AS MATERIALIZED (
    SELECT property_id, ':' || tag AS tag, status, priority, count(*) AS n
      FROM {tickets}
     CROSS JOIN LATERAL unnest(tags) AS tag
     WHERE NOT is_deleted AND tags IS NOT NULL
     GROUP BY 1, 2, 3, 4
)
SELECT CASE WHEN grouping(property_id) = 1 THEN '*' ELSE property_id END AS property_id,
       CASE WHEN grouping(assignee_id) = 1 THEN '*' ELSE assignee_id END AS assignee_id,
       CASE WHEN grouping(category) = 1 THEN '*' ELSE category END AS category,
       ARRAY[{pairs}]::integer[] AS tickets
  FROM cells
 GROUP BY GROUPING SETS (
    (property_id, assignee_id), (property_id), (assignee_id), (), (property_id, category), (category))
HAVING count(*) > 0
UNION ALL
SELECT CASE WHEN grouping(property_id) = 1 THEN '*' ELSE property_id END, '*', tag, ARRAY[{pairs}]::integer[]
  FROM tagged
 GROUP BY GROUPING SETS ((property_id, tag), (tag))

-- name: fill_counts
INSERT INTO ticket_counts ({columns}) {counted};

-- name: keep_counts
UPDATE projector_position SET has_counts = true;
