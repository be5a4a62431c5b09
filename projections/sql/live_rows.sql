-- name: read_position
SELECT position FROM read.projector_position;

-- name: select_past_tickets
SELECT p.ticket_id, p.version, p.status, p.priority, p.priority_rank, p.category, p.property_id, p.unit_id,
       p.requester_id, p.assignee_id, p.is_deleted, p.created_at, p.updated_at, p.ended_at
  FROM unnest(%(ids)s::text[], %(first)s::bigint[], %(last)s::bigint[]) AS s (id, first, last)
  JOIN read.past_tickets p ON p.ticket_id = s.id AND p.version BETWEEN s.first AND s.last;

-- name: select_past_tickets_of_none
-- Rows of what is no ticket, or of versions that a ticket has not left behind.
SELECT p.ticket_id, p.version, p.status, p.priority, p.priority_rank, p.category, p.property_id, p.unit_id,
       p.requester_id, p.assignee_id, p.is_deleted, p.created_at, p.updated_at, p.ended_at
  FROM read.past_tickets p
  LEFT JOIN read_next.tickets t ON t.id = p.ticket_id
 WHERE t.id IS NULL OR p.version >= t.version OR p.version < 0;

-- name: select_audit_events
SELECT position, occurred_at, action, actor_id, key_id, subject_id, property_ids, left_ids, request_id
  FROM read.audit_events
 WHERE position > %(after)s AND position <= %(last)s
 ORDER BY position;

-- name: select_audit_events_of_none
SELECT position, occurred_at, action, actor_id, key_id, subject_id, property_ids, left_ids, request_id
  FROM read.audit_events
 WHERE position > (SELECT position FROM read.projector_position);

-- name: select_subjects
-- Where each subject belonged after the last event up to that position that concerned it.
SELECT s.id, a.property_ids, a.left_ids
  FROM unnest(%(ids)s::text[]) AS s (id)
 CROSS JOIN LATERAL (SELECT property_ids, left_ids
                       FROM read.audit_events
                      WHERE subject_id = s.id AND position <= %(last)s
                        AND position <> ALL (%(strange)s::bigint[])
                      ORDER BY position DESC
                      LIMIT 1) a;
