-- name: insert_key
INSERT INTO privacy.person_keys (person_id, sealed_key) VALUES (%(person_id)s, %(sealed_key)s);

-- name: select_keys
-- The key is NULL for an erased person. A person without a key who is not erased has no row.
SELECT p.id, CASE WHEN e.originator_id IS NULL THEN k.sealed_key END
  FROM unnest(%(people)s::text[]) AS p (id)
  LEFT JOIN privacy.person_keys k ON k.person_id = p.id
  LEFT JOIN es.stored_events e ON e.originator_id = p.id AND e.topic = 'user.erased'
 WHERE k.person_id IS NOT NULL OR e.originator_id IS NOT NULL;
