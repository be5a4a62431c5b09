-- name: select_state
SELECT es.stored_events_watermark() - position AS lag,
       (SELECT count(*) FROM read.parked_events) AS parked,
       -- Numbers that rolled-back appends drew are counted in, but not when nothing real is among them.
       (SELECT CASE WHEN EXISTS (SELECT FROM es.stored_events e WHERE e.notification_id > r.position)
                    THEN es.stored_events_watermark() - r.position ELSE 0 END
          FROM relay.position r) AS unpublished,
       -- Counted up to a limit: a backlog is no reason to be slow here.
       (SELECT count(*) FROM (SELECT FROM hook.deliveries d JOIN hook.endpoints e ON e.id = d.endpoint_id
                               WHERE d.status = 'pending' AND d.next_at <= now()
                                 AND e.is_enabled AND e.deleted_at IS NULL LIMIT 10000) due) AS due,
       (SELECT count(*) FROM hook.health h JOIN hook.endpoints e ON e.id = h.endpoint_id
         WHERE e.deleted_at IS NULL) AS failing
  FROM read.projector_position;
