-- Figures of the tickets that are not deleted. `reach` holds the ids of the caller's properties; NULL: the caller reaches
-- every property.

-- name: count_opened
SELECT (created_at AT TIME ZONE 'UTC')::date AS day, count(*) AS tickets
  FROM read.tickets
 WHERE NOT is_deleted AND created_at >= %(since)s
   AND (%(reach)s::text[] IS NULL OR property_id = ANY(%(reach)s))
 GROUP BY 1;

-- name: count_closings
-- The closed tickets by day of their last closing, without a property, and by property, without a day. A ticket is closed
-- since its last state that was not closed ended. CASE hides the status from the planner, which has no statistics of it
-- and would read every closed ticket.
WITH recent AS MATERIALIZED (
    SELECT id, property_id, created_at
      FROM read.tickets
     WHERE NOT is_deleted AND updated_at >= %(since)s AND CASE WHEN status = 'closed' THEN true ELSE false END
       AND (%(reach)s::text[] IS NULL OR property_id = ANY(%(reach)s))
     ORDER BY updated_at DESC, id DESC
     LIMIT %(most)s
), closings AS (
    SELECT t.property_id, t.created_at, coalesce(p.ended_at, t.created_at) AS closed_at
      FROM recent t
     CROSS JOIN LATERAL (SELECT max(ended_at) AS ended_at FROM read.past_tickets
                          WHERE ticket_id = t.id AND status <> 'closed') p
)
SELECT (closed_at AT TIME ZONE 'UTC')::date AS day, property_id, count(*) AS tickets,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM closed_at - created_at)) AS median_seconds,
       percentile_cont(0.9) WITHIN GROUP (ORDER BY extract(epoch FROM closed_at - created_at)) AS p90_seconds
  FROM closings
 WHERE closed_at >= %(since)s
 GROUP BY GROUPING SETS ((1), (2));

-- name: measure_first_answers
-- The first answer is the first public comment of somebody else than the requester, or the first change of the status.
WITH recent AS MATERIALIZED (
    SELECT id, property_id, requester_id, status, created_at, updated_at
      FROM read.tickets
     WHERE NOT is_deleted AND created_at >= %(since)s
       AND (%(reach)s::text[] IS NULL OR property_id = ANY(%(reach)s))
     ORDER BY created_at DESC, id DESC
     LIMIT %(most)s
), answers AS (
    SELECT t.property_id, t.created_at,
           least(c.created_at, coalesce(p.updated_at, CASE WHEN t.status <> 'open' THEN t.updated_at END)) AS answered_at
      FROM recent t
     CROSS JOIN LATERAL (SELECT min(created_at) AS created_at FROM read.comments
                          WHERE ticket_id = t.id AND visibility = 'public' AND author_id <> t.requester_id) c
     CROSS JOIN LATERAL (SELECT min(updated_at) AS updated_at FROM read.past_tickets
                          WHERE ticket_id = t.id AND status <> 'open') p
)
SELECT property_id, count(*) AS tickets,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM answered_at - created_at)) AS median_seconds,
       percentile_cont(0.9) WITHIN GROUP (ORDER BY extract(epoch FROM answered_at - created_at)) AS p90_seconds
  FROM answers
 WHERE answered_at IS NOT NULL
 GROUP BY property_id;

-- name: count_ages
-- The number of the bucket is the number of the limits, in days, that the age has reached.
SELECT width_bucket(extract(epoch FROM %(now)s::timestamptz - created_at)::float8 / 86400, %(limits)s::float8[]) AS bucket,
       priority_rank, count(*) AS tickets
  FROM read.tickets
 WHERE NOT is_deleted AND status IN ('open', 'in_progress')
   AND (%(reach)s::text[] IS NULL OR property_id = ANY(%(reach)s))
 GROUP BY 1, 2;

-- name: count_loads
-- The numbers of pairs of status and priority are those of projections/project_counts.py.
SELECT c.assignee_id, coalesce(u.name, c.assignee_id) AS name, c.open, c.in_progress
  FROM (SELECT assignee_id,
               coalesce(sum(tickets[pair]) FILTER (WHERE pair = ANY(%(open)s)), 0)::bigint AS open,
               coalesce(sum(tickets[pair]) FILTER (WHERE pair = ANY(%(in_progress)s)), 0)::bigint AS in_progress
          FROM read.ticket_counts CROSS JOIN unnest(%(open)s::integer[] || %(in_progress)s::integer[]) AS pair
         WHERE property_id = ANY(%(properties)s) AND category = '*' AND assignee_id NOT IN ('*', '')
         GROUP BY assignee_id) c
  LEFT JOIN read.users u ON u.id = c.assignee_id
 WHERE c.open + c.in_progress > 0
 ORDER BY c.open + c.in_progress DESC, name
 LIMIT %(shown)s;
