-- How far behind the dispatchers are that follow Kafka, by seat (webhook_dispatcher/membership.py): Kafka alone
-- knows, and it may be away when somebody looks. Without Kafka hook.position tells.
CREATE TABLE hook.consumers (
    seat integer PRIMARY KEY,
    behind bigint NOT NULL,                                 -- records of its partitions not yet taken
    seen_at timestamptz NOT NULL
) WITH (fillfactor = 50);
