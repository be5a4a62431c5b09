-- name: measure_webhooks
-- Each webhook with attempts, once for each of the spans, in hours.
WITH spans AS MATERIALIZED (
    SELECT hours, now() - make_interval(hours => hours) AS since FROM unnest(%(spans)s::integer[]) AS hours
), newest AS MATERIALIZED (
    SELECT delivery_id, at, status, milliseconds
      FROM hook.attempts
     WHERE at >= (SELECT min(since) FROM spans)
     ORDER BY at DESC
     LIMIT %(most)s
)
SELECT e.id, e.url, s.hours, count(*) AS attempts,
       count(*) FILTER (WHERE a.status BETWEEN 200 AND 299) AS successes,
       percentile_disc(0.5) WITHIN GROUP (ORDER BY a.milliseconds) AS median_milliseconds,
       percentile_disc(0.95) WITHIN GROUP (ORDER BY a.milliseconds) AS p95_milliseconds
  FROM newest a
  JOIN hook.deliveries d ON d.id = a.delivery_id
  JOIN hook.endpoints e ON e.id = d.endpoint_id AND e.deleted_at IS NULL
  JOIN spans s ON a.at >= s.since
 GROUP BY e.id, e.url, s.hours;

-- name: count_unfinished
-- Counted up to a limit.
SELECT (SELECT count(*) FROM (SELECT FROM hook.deliveries WHERE status = 'pending' AND failures > 0 LIMIT %(most)s) r)
           AS retried,
       (SELECT count(*) FROM (SELECT FROM hook.deliveries WHERE status = 'dead' LIMIT %(most)s) d) AS dead;
