-- The lag of dispatchers that follow Kafka. `seat` is the member id (webhook_dispatcher/membership.py). The lag
-- is stored here, so that it can be shown while Kafka is down. Without Kafka, hook.position shows the lag.
CREATE TABLE hook.consumers (
    seat integer PRIMARY KEY,
    behind bigint NOT NULL,                                 -- records of its partitions that are not read yet
    seen_at timestamptz NOT NULL
) WITH (fillfactor = 50);
