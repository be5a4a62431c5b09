-- name: insert_past_tickets
INSERT INTO past_tickets (ticket_id, version, status, priority, priority_rank, category, property_id, unit_id,
                          requester_id, assignee_id, is_deleted, created_at, updated_at, ended_at)
SELECT ticket_id, version, status, priority, priority_rank, category, property_id, unit_id, requester_id,
       assignee_id, is_deleted, created_at, updated_at, ended_at
  FROM json_populate_recordset(NULL::past_tickets, %(rows)s::json);

-- name: insert_past_texts
-- Of texts replaced twice at one moment the first ones were in force before it.
INSERT INTO past_texts (ticket_id, ended_at, title, description)
SELECT ticket_id, ended_at, title, description
  FROM json_populate_recordset(NULL::past_texts, %(rows)s::json)
    ON CONFLICT (ticket_id, ended_at) DO NOTHING;
