-- The lag of dispatchers that follow Kafka, by member id in `seat` (webhook_dispatcher/membership.py). Stored
-- here, because Kafka may be down when somebody looks. Without Kafka, hook.position shows the lag.
CREATE TABLE hook.consumers (
    seat integer PRIMARY KEY,
    behind bigint NOT NULL,                                 -- records of its partitions that are not read yet
    seen_at timestamptz NOT NULL
) WITH (fillfactor = 50);
