-- name: read_published
SELECT position FROM relay.position;

-- name: store_positions
-- A position is never above the one that the relay has published: a record may state a wrong one.
INSERT INTO hook.partitions AS known (partition, position)
SELECT partition, least(position, (SELECT r.position FROM relay.position r))
  FROM unnest(%(partitions)s::integer[], %(positions)s::bigint[]) AS reached (partition, position)
    ON CONFLICT (partition) DO UPDATE SET position = excluded.position WHERE known.position < excluded.position;
