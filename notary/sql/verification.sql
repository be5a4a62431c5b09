-- name: all_statements
SELECT number, line FROM notary.statements ORDER BY number;

-- name: log_end
SELECT coalesce(max(notification_id), 0) FROM es.stored_events;

-- name: count_after
SELECT count(*) FROM es.stored_events WHERE notification_id > %(after)s;

-- name: wrong_versions
SELECT notification_id, originator_id, originator_version, due
  FROM (SELECT notification_id, originator_id, originator_version,
               coalesce(lag(originator_version) OVER stream, 0) + 1 AS due,
               lag(notification_id) OVER stream AS before
          FROM es.stored_events
        WINDOW stream AS (PARTITION BY originator_id ORDER BY originator_version)) numbered
 WHERE originator_version <> due OR notification_id <= before
 ORDER BY notification_id
 LIMIT 100;

-- name: followers_ahead
SELECT follower, position, log_end
  FROM (SELECT 'the projector' AS follower, position FROM read.projector_position
         UNION ALL
        SELECT 'the relay to Kafka', position FROM relay.position) followers,
       (SELECT coalesce(max(notification_id), 0) AS log_end FROM es.stored_events) log
 WHERE position > log_end;
