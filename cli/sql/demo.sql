-- name: select_taken_ids
SELECT originator_id FROM es.stored_events WHERE originator_id = ANY(%(ids)s) AND originator_version = 1;

-- name: copy_events
COPY es.stored_events (originator_id, originator_version, topic, state) FROM STDIN (FORMAT binary);
