-- name: select_state
SELECT es.stored_events_watermark() - position AS lag,
       (SELECT count(*) FROM read.parked_events) AS parked
  FROM read.projector_position;
