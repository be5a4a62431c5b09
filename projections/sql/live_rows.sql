-- name: read_position
SELECT position FROM read.projector_position;

-- name: select_past_tickets
-- In the order of the spans, because lists in the same order are compared fastest.
SELECT {past_tickets}
  FROM unnest(%(ids)s::text[], %(first)s::bigint[], %(last)s::bigint[]) WITH ORDINALITY AS s (id, first, last, number)
  JOIN read.past_tickets p ON p.ticket_id = s.id AND p.version BETWEEN s.first AND s.last
 ORDER BY s.number, p.version;

-- name: select_invalid_past_tickets
-- Rows of tickets that do not exist, and of versions that are not past ones.
SELECT {past_tickets}
  FROM read.past_tickets p
  LEFT JOIN read_next.tickets t ON t.id = p.ticket_id
 WHERE t.id IS NULL OR p.version >= t.version OR p.version < 0;

-- name: select_audit_events
SELECT {audit_events}
  FROM read.audit_events
 WHERE position > %(after)s AND position <= %(last)s
 ORDER BY position;

-- name: select_audit_events_ahead
-- Rows after the projector's position.
SELECT {audit_events}
  FROM read.audit_events
 WHERE position > (SELECT position FROM read.projector_position);

-- name: select_subjects
-- The properties each subject belonged to after its last event up to that position.
SELECT s.key, a.property_ids, a.left_ids
  FROM unnest(%(keys)s::bigint[]) AS s (key)
 CROSS JOIN LATERAL (SELECT property_ids, left_ids
                       FROM read.audit_events
                      WHERE subject_key = s.key AND position <= %(last)s
                        AND position <> ALL (%(invalid)s::bigint[])
                      ORDER BY position DESC
                      LIMIT 1) a;
