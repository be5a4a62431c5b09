-- name: select_subjects
-- The properties each subject belonged to after its last event.
SELECT s.key, a.property_ids, a.left_ids
  FROM unnest(%(keys)s::bigint[]) AS s (key)
 CROSS JOIN LATERAL (SELECT property_ids, left_ids FROM audit_events
                      WHERE subject_key = s.key ORDER BY position DESC LIMIT 1) a;

-- name: insert_audit_events
INSERT INTO audit_events ({columns})
SELECT {columns}
  FROM json_populate_recordset(NULL::audit_events, %(rows)s::json);
