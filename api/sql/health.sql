-- name: select_state
SELECT es.stored_events_watermark() - position AS lag,
       (SELECT count(*) FROM read.parked_events) AS parked,
       -- Numbers that rolled-back appends drew are counted in, but not when nothing real is among them.
       (SELECT CASE WHEN EXISTS (SELECT FROM es.stored_events e WHERE e.notification_id > r.position)
                    THEN es.stored_events_watermark() - r.position ELSE 0 END
          FROM relay.position r) AS unpublished
  FROM read.projector_position;
