-- name: select_subjects
-- The properties each subject belonged to after its last event.
SELECT s.id, a.property_ids, a.left_ids
  FROM unnest(%(ids)s::text[]) AS s (id)
 CROSS JOIN LATERAL (SELECT property_ids, left_ids FROM audit_events
                      WHERE subject_id = s.id ORDER BY position DESC LIMIT 1) a;

-- name: insert_audit_events
INSERT INTO audit_events ({columns})
SELECT {columns}
  FROM json_populate_recordset(NULL::audit_events, %(rows)s::json);
