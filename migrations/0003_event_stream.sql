-- How far the relay to Kafka has come: a copy for monitoring. The position that counts stands in Kafka and
-- moves in the same transaction as the events; this one shows when Kafka has lost it.
CREATE SCHEMA relay;

CREATE TABLE relay.position (
    id smallint PRIMARY KEY DEFAULT 1 CHECK (id = 1),
    position bigint NOT NULL,
    published_at timestamptz                       -- NULL: nothing was ever published
) WITH (fillfactor = 50);

INSERT INTO relay.position (position) VALUES (0);
