-- name: store_trace
-- The first trace of a request id is kept: a client may repeat a request with another one.
INSERT INTO monitoring.traces (request_id, trace_id, is_sampled)
VALUES (%(request_id)s, %(trace_id)s, %(is_sampled)s)
    ON CONFLICT (request_id) DO NOTHING;

-- name: read_traces
SELECT request_id, trace_id, is_sampled FROM monitoring.traces WHERE request_id = ANY(%(request_ids)s);
