-- name: read_lags
-- For each follower the oldest event that it has not handled, also if an unfinished append of another session holds
-- that event back; and the oldest such append. A transaction may have begun long before it appended: the last event
-- before the append shows that it did not append earlier. `states` has no state of a follower without waiting events.
WITH append AS (SELECT after, since FROM es.stalling_sessions('{}') ORDER BY since LIMIT 1)
SELECT now(),
       (SELECT since FROM append),
       (SELECT state FROM es.stored_events
         WHERE notification_id <= (SELECT after FROM append) ORDER BY notification_id DESC LIMIT 1),
       ARRAY(SELECT (SELECT state FROM es.stored_events
                      WHERE notification_id > reached.position ORDER BY notification_id LIMIT 1)
               FROM (VALUES
                   (1, (SELECT position FROM read.projector_position)),
                   (2, (SELECT position FROM relay.position)),
                   (3, greatest((SELECT position FROM hook.position),
                                -- With Kafka: the partition that is furthest behind.
                                (SELECT min(p.position) FROM hook.partitions p, relay.position r
                                  WHERE %(has_kafka)s AND p.partition < r.partitions
                                 HAVING count(*) = min(r.partitions)))),
                   (4, (SELECT coalesce(max(position), 0) FROM notary.statements))
               ) AS reached (follower, position)
              ORDER BY reached.follower);
