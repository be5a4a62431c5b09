-- name: select_state
-- Sequence gaps, which rolled back appends and crashes leave, count as lag between events, but not after the last
-- event, because no follower could reach those positions.
WITH log AS (SELECT least(es.stored_events_watermark(), coalesce(max(notification_id), 0)) AS reached
               FROM es.stored_events)
SELECT log.reached - position AS lag,
       (SELECT count(*) FROM read.parked_events) AS parked,
       (SELECT log.reached - r.position FROM relay.position r) AS unpublished,
       -- Counted up to a limit, so that the check is fast during a backlog.
       (SELECT count(*) FROM (SELECT FROM hook.deliveries d JOIN hook.endpoints e ON e.id = d.endpoint_id
                               WHERE d.status = 'pending' AND d.next_at <= now()
                                 AND e.is_enabled AND e.deleted_at IS NULL LIMIT 10000) due) AS due,
       (SELECT count(*) FROM hook.health h JOIN hook.endpoints e ON e.id = h.endpoint_id
         WHERE e.deleted_at IS NULL) AS failing,
       (SELECT count(*) FROM (SELECT FROM hook.deliveries WHERE status = 'dead' LIMIT 10000) dead) AS dead,
       (SELECT count(*) FROM hook.dead_letters) AS dead_letters
  FROM read.projector_position, log;
