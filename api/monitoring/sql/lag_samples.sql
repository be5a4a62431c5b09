-- name: store_sample
-- Does nothing if another process has stored a sample of this span. Deletes old samples, and old traces.
WITH pruned AS (
    DELETE FROM monitoring.lag_samples WHERE sampled_at < now() - %(kept)s::interval
), pruned_traces AS (
    DELETE FROM monitoring.traces WHERE created_at < now() - %(kept)s::interval
)
INSERT INTO monitoring.lag_samples (sampled_at, projector, relay, webhook_dispatcher, notary)
VALUES (date_bin(%(span)s::interval, now(), 'epoch'), %(projector)s, %(relay)s, %(webhook_dispatcher)s, %(notary)s)
    ON CONFLICT (sampled_at) DO NOTHING;

-- name: list_samples
SELECT sampled_at, projector, relay, webhook_dispatcher, notary
  FROM monitoring.lag_samples
 WHERE sampled_at >= %(since)s
 ORDER BY sampled_at;
