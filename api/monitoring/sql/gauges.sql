-- name: read_clock
SELECT clock_timestamp();

-- name: read_positions
SELECT (SELECT position FROM read.projector_position) AS projector,
       (SELECT position FROM relay.position) AS relay,
       greatest((SELECT position FROM hook.position),
                -- With Kafka: the partition that is furthest behind.
                (SELECT min(p.position) FROM hook.partitions p, relay.position r
                  WHERE %(has_kafka)s AND p.partition < r.partitions
                 HAVING count(*) = min(r.partitions))) AS webhook_dispatcher,
       (SELECT coalesce(max(position), 0) FROM notary.statements) AS notary;

-- name: count_sessions
-- For each application its sessions in this database; 0 for one that is not connected.
SELECT known.application, count(s.pid)
  FROM unnest(%(applications)s::text[]) AS known (application)
  LEFT JOIN pg_stat_activity s ON split_part(s.application_name, '/', 1) = known.application AND s.datname = current_database()
 GROUP BY known.application;

-- name: count_attempts
-- The attempts of the last 5 minutes by outcome, counted up to a limit.
SELECT CASE WHEN status IS NULL THEN 'no_answer' WHEN status BETWEEN 200 AND 299 THEN 'delivered' ELSE 'refused' END
           AS outcome,
       count(*)
  FROM (SELECT status FROM hook.attempts
         WHERE at >= now() - interval '5 minutes' ORDER BY at DESC LIMIT %(most)s) newest
 GROUP BY outcome;

-- name: read_last_verification
-- The last one that was completed. Those that ended with a problem found out nothing.
SELECT finished_at, differences
  FROM panel.verifications
 WHERE differences IS NOT NULL
 ORDER BY started_at DESC
 LIMIT 1;
