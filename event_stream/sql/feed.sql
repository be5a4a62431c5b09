-- name: read_end
SELECT coalesce(max(notification_id), 0) FROM es.stored_events;
