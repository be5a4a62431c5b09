-- phase: expand
-- The traces of requests whose clients sent a trace context (docs/decisions/0035-traces.md), for 24 hours. The traces of
-- other requests follow from their ids.
CREATE TABLE monitoring.traces (
    request_id text PRIMARY KEY,
    trace_id text NOT NULL,                                 -- 32 hex digits
    is_sampled boolean NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX traces_created_at_idx ON monitoring.traces (created_at);

-- The header `traceparent` of the message's event; NULL: its request was not traced.
ALTER TABLE hook.messages ADD COLUMN traceparent text;
