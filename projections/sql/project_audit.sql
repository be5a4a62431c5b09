-- name: select_subjects
-- Where each subject belonged after the last event that concerned it.
SELECT s.id, a.property_ids, a.left_ids
  FROM unnest(%(ids)s::text[]) AS s (id)
 CROSS JOIN LATERAL (SELECT property_ids, left_ids FROM audit_events
                      WHERE subject_id = s.id ORDER BY position DESC LIMIT 1) a;

-- name: insert_audit_events
INSERT INTO audit_events (position, occurred_at, action, actor_id, key_id, subject_id, property_ids, left_ids,
                          request_id)
SELECT position, occurred_at, action, actor_id, key_id, subject_id, property_ids, left_ids, request_id
  FROM json_populate_recordset(NULL::audit_events, %(rows)s::json);
