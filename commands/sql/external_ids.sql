-- name: leave
DELETE FROM access.external_ids
 WHERE kind = %(kind)s AND source = %(source)s AND external_id = %(external_id)s AND object_id = %(id)s;

-- name: claim
-- Fails with a unique violation if another object has the id.
INSERT INTO access.external_ids (kind, source, external_id, object_id)
VALUES (%(kind)s, %(source)s, %(external_id)s, %(id)s);

-- name: holders
-- The objects that have these ids, by source.
SELECT taken.source, taken.object_id
  FROM unnest(%(sources)s::text[], %(external_ids)s::text[]) AS given (source, external_id)
  JOIN access.external_ids AS taken USING (source, external_id)
 WHERE taken.kind = %(kind)s
 ORDER BY taken.source;
