-- The lags of the followers of the log during the last day, for the page of the system's health. Every process that
-- follows the log samples; the first one in each span of 30 s stores its sample (api/monitoring/lag_samples.py).
CREATE SCHEMA monitoring;
CREATE TABLE monitoring.lag_samples (
    sampled_at timestamptz PRIMARY KEY,                     -- the beginning of the span
    projector real NOT NULL,                                -- here and below: seconds
    relay real,                                             -- NULL: without Kafka
    webhook_dispatcher real NOT NULL,
    notary real NOT NULL
);

-- For the success rate and the latency of webhooks (api/monitoring/webhook_rates.py).
CREATE INDEX attempts_at_idx ON hook.attempts (at) INCLUDE (delivery_id, status, milliseconds);
