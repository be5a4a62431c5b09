-- name: claim
-- Claims due deliveries: for each webhook up to its number of posts at a time, and for each ticket only the first
-- unfinished one. The lease is a time, not a lock: no transaction is open during a post. A claim changes no column
-- of an index, so it adds no entry to one (HOT). A webhook that failed has at most `posts_at_a_time` claims, another one
-- `ahead`, so that a process has the next delivery when a post ends.
WITH open AS (
    SELECT e.id,
           CASE WHEN h.failures >= %(breaker)s THEN 1
                WHEN h.failures > 0 THEN %(posts_at_a_time)s
                ELSE %(ahead)s END - coalesce(b.posts, 0) AS free_posts
      FROM hook.endpoints e
      LEFT JOIN hook.health h ON h.endpoint_id = e.id
      LEFT JOIN unnest(%(busy_ids)s::text[], %(busy_posts)s::int[]) AS b (id, posts) ON b.id = e.id
     WHERE e.is_enabled AND e.deleted_at IS NULL AND (h.paused_until IS NULL OR h.paused_until <= now())
), due AS (
    SELECT d.id
      FROM open
     CROSS JOIN LATERAL (
            SELECT d.id
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
), claimed AS (
    UPDATE hook.deliveries d
       SET claims = claims + 1, leased_until = now() + %(lease)s
      FROM due
     WHERE d.id = due.id
    RETURNING d.id, d.endpoint_id, d.message_id, d.claims, d.failures
)
SELECT c.id, c.endpoint_id, c.message_id, c.claims, c.failures,
       m.property_id, m.requester_id, m.is_internal, m.body
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
RETURNING h.endpoint_id, now() - h.failing_since;

-- name: release
-- Ends leases of deliveries that are not posted, so that they can be claimed immediately.
UPDATE hook.deliveries d
   SET leased_until = NULL
  FROM unnest(%(ids)s::bigint[], %(claims)s::int[]) AS f (id, claims)
 WHERE d.id = f.id AND d.claims = f.claims AND d.status = 'pending';
