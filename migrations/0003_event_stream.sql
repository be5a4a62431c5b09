-- A copy of the relay's position, for monitoring. The authoritative position is in Kafka and is committed
-- with the events; the copy shows when Kafka has lost records.
CREATE SCHEMA relay;

CREATE TABLE relay.position (
    id smallint PRIMARY KEY DEFAULT 1 CHECK (id = 1),
    position bigint NOT NULL,
    published_at timestamptz                       -- NULL: nothing was published yet
) WITH (fillfactor = 50);

INSERT INTO relay.position (position) VALUES (0);
