-- name: insert_past_tickets
INSERT INTO past_tickets ({tickets})
SELECT {tickets}
  FROM json_populate_recordset(NULL::past_tickets, %(rows)s::json);

-- name: insert_past_texts
-- When texts are replaced twice at the same time, the first row stays: it has the texts from before that time.
INSERT INTO past_texts ({texts})
SELECT {texts}
  FROM json_populate_recordset(NULL::past_texts, %(rows)s::json)
    ON CONFLICT (ticket_id, ended_at) DO NOTHING;
