-- name: count_tickets
-- The rows of ticket_counts, counted from the tickets in `{tickets}`: first for each combination of values, then
-- summed for the combinations that have rows (projections/project_counts.py).
WITH cells AS MATERIALIZED (
    SELECT property_id, coalesce(assignee_id, '') AS assignee_id, category, status, priority, count(*) AS n
      FROM {tickets}
     WHERE NOT is_deleted
     GROUP BY 1, 2, 3, 4, 5
)
SELECT CASE WHEN grouping(property_id) = 1 THEN '*' ELSE property_id END AS property_id,
       CASE WHEN grouping(assignee_id) = 1 THEN '*' ELSE assignee_id END AS assignee_id,
       CASE WHEN grouping(category) = 1 THEN '*' ELSE category END AS category,
       ARRAY[
           coalesce(sum(n) FILTER (WHERE status = 'open' AND priority = 'low'), 0),
           coalesce(sum(n) FILTER (WHERE status = 'open' AND priority = 'medium'), 0),
           coalesce(sum(n) FILTER (WHERE status = 'open' AND priority = 'high'), 0),
           coalesce(sum(n) FILTER (WHERE status = 'open' AND priority = 'critical'), 0),
           coalesce(sum(n) FILTER (WHERE status = 'in_progress' AND priority = 'low'), 0),
           coalesce(sum(n) FILTER (WHERE status = 'in_progress' AND priority = 'medium'), 0),
           coalesce(sum(n) FILTER (WHERE status = 'in_progress' AND priority = 'high'), 0),
           coalesce(sum(n) FILTER (WHERE status = 'in_progress' AND priority = 'critical'), 0),
           coalesce(sum(n) FILTER (WHERE status = 'closed' AND priority = 'low'), 0),
           coalesce(sum(n) FILTER (WHERE status = 'closed' AND priority = 'medium'), 0),
           coalesce(sum(n) FILTER (WHERE status = 'closed' AND priority = 'high'), 0),
           coalesce(sum(n) FILTER (WHERE status = 'closed' AND priority = 'critical'), 0)
       ]::integer[] AS tickets
  FROM cells
 GROUP BY GROUPING SETS (
    (property_id, assignee_id), (property_id), (assignee_id), (), (property_id, category), (category))
HAVING count(*) > 0

-- name: fill_counts
INSERT INTO ticket_counts ({columns}) {counted};

-- name: keep_counts
UPDATE projector_position SET has_counts = true;
