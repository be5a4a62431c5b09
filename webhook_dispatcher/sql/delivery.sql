-- name: claim
-- Claims due deliveries: for each webhook up to its number of posts at a time, and for each ticket only the first
-- unfinished one. The lease is a time, not a lock: no transaction is open during a post. A claim changes no column
-- of an index, so it adds no entry to one (HOT). A webhook that failed or is slow has at most `posts_at_a_time` claims,
-- another one `ahead`, so that a process has the next delivery when a post ends. A webhook with limits has as many as
-- hook.reserve allows, each with the time of its post. Webhooks with few claims come first.
WITH ready AS MATERIALIZED (
    SELECT e.id, e.max_per_second, e.max_in_flight, coalesce(b.posts, 0) AS busy,
           CASE WHEN h.failures >= %(breaker)s THEN 1
                WHEN h.failures > 0 OR e.id = ANY(%(slow_ids)s) THEN %(posts_at_a_time)s
                ELSE %(ahead)s END - coalesce(b.posts, 0) AS free_posts
      FROM hook.endpoints e
      LEFT JOIN hook.health h ON h.endpoint_id = e.id
      LEFT JOIN unnest(%(busy_ids)s::text[], %(busy_posts)s::int[]) AS b (id, posts) ON b.id = e.id
     WHERE e.is_enabled AND e.deleted_at IS NULL AND (h.paused_until IS NULL OR h.paused_until <= now())
), open AS (
    SELECT r.id, r.busy, r.max_per_second, least(r.free_posts, l.places) AS free_posts, l.first_at
      FROM ready r
      LEFT JOIN LATERAL (
            SELECT *
              FROM hook.reserve(r.id, r.max_per_second, r.max_in_flight)
             WHERE r.free_posts > 0 AND (r.max_per_second IS NOT NULL OR r.max_in_flight IS NOT NULL)) l ON true
     ORDER BY r.busy, r.id
), due AS (
    SELECT d.id, d.next_at, open.id AS endpoint_id, open.max_per_second, open.first_at
      FROM open
     CROSS JOIN LATERAL (
            SELECT d.id, d.next_at
              FROM hook.deliveries d
             WHERE d.endpoint_id = open.id AND d.status = 'pending' AND d.next_at <= now()
               AND (d.leased_until IS NULL OR d.leased_until <= now())
               AND NOT EXISTS (
                     SELECT FROM hook.deliveries earlier
                      WHERE earlier.endpoint_id = d.endpoint_id AND earlier.aggregate_id = d.aggregate_id
                        AND earlier.status = 'pending' AND (earlier.version, earlier.id) < (d.version, d.id))
             ORDER BY d.next_at, d.id
             LIMIT greatest(open.free_posts, 0)
               FOR UPDATE OF d SKIP LOCKED) d
     LIMIT %(limit)s
), turns AS (
    SELECT due.*, row_number() OVER (PARTITION BY endpoint_id ORDER BY next_at, id) - 1 AS turn FROM due
), claimed AS (
    UPDATE hook.deliveries d
       SET claims = claims + 1, leased_until = now() + %(lease)s
      FROM turns due
     WHERE d.id = due.id
    RETURNING d.id, d.endpoint_id, d.message_id, d.claims, d.failures,
              CASE WHEN due.max_per_second IS NOT NULL THEN
                   due.first_at + make_interval(secs => due.turn::float8 / due.max_per_second) END AS post_at
), planned AS (
    UPDATE hook.limits l
       SET next_at = due.first_at + make_interval(secs => due.claimed::float8 / due.max_per_second)
      FROM (SELECT endpoint_id, first_at, max_per_second, count(*) AS claimed
              FROM due WHERE max_per_second IS NOT NULL GROUP BY 1, 2, 3) AS due
     WHERE l.endpoint_id = due.endpoint_id
)
SELECT c.id, c.endpoint_id, c.message_id, c.claims, c.failures,
       m.property_id, m.requester_id, m.is_internal, m.body,
       coalesce(extract(epoch FROM c.post_at - now()), 0)::float8, m.traceparent
  FROM claimed c JOIN hook.messages m ON m.id = c.message_id
 ORDER BY c.id;

-- name: settle
-- Stores results: finishes the deliveries that this process still holds, and inserts the attempts. `failures` is the
-- place in the schedule of attempts. A result without `at` has no attempt. `body` is base64.
WITH done AS MATERIALIZED (
    SELECT *
      FROM json_to_recordset(%(results)s::json) AS d
           (id bigint, claim integer, result text, failures integer, delay float8, at timestamptz, url text,
            headers jsonb, status integer, body text, error text, milliseconds integer)
), finished AS (
    UPDATE hook.deliveries d
       SET status = f.result,
           failures = f.failures,
           leased_until = NULL,
           next_at = CASE WHEN f.result = 'pending' THEN now() + make_interval(secs => f.delay) ELSE d.next_at END,
           finished_at = CASE WHEN f.result <> 'pending' THEN now() END
      FROM done f
     WHERE d.id = f.id AND d.claims = f.claim AND d.status = 'pending'
)
INSERT INTO hook.attempts (delivery_id, number, at, url, headers, status, response_body, error, milliseconds)
SELECT id, claim, at, url, headers, status, decode(body, 'base64'), error, milliseconds
  FROM done
 WHERE at IS NOT NULL
    ON CONFLICT (delivery_id, number) DO NOTHING;

-- name: note_successes
DELETE FROM hook.health WHERE endpoint_id = ANY(%(ids)s);

-- name: note_failures
-- After `breaker` failures in a row the webhook gets one post at a time, each after a pause. A pause that the
-- receiver requests (Retry-After) applies after any failure.
INSERT INTO hook.health AS h (endpoint_id, failures, failing_since, paused_until)
SELECT f.id, f.failures, now(),
       CASE WHEN f.pause > 0 THEN now() + make_interval(secs => f.pause)
            WHEN f.failures >= %(breaker)s THEN now() + %(breaker_pause)s END
  FROM unnest(%(ids)s::text[], %(failures)s::int[], %(pauses)s::float8[]) AS f (id, failures, pause)
    ON CONFLICT (endpoint_id) DO UPDATE
   SET failures = h.failures + excluded.failures,
       paused_until = greatest(h.paused_until, excluded.paused_until,
           CASE WHEN h.failures + excluded.failures >= %(breaker)s THEN now() + %(breaker_pause)s END)
RETURNING h.endpoint_id, h.failing_since, now(), h.failures;

-- name: release
-- Ends leases of deliveries that are not posted, so that they can be claimed immediately.
UPDATE hook.deliveries d
   SET leased_until = NULL
  FROM unnest(%(ids)s::bigint[], %(claims)s::int[]) AS f (id, claims)
 WHERE d.id = f.id AND d.claims = f.claims AND d.status = 'pending';
