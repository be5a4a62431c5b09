-- name: add_to_counts
INSERT INTO ticket_counts AS c ({columns})
SELECT {columns} FROM json_populate_recordset(NULL::ticket_counts, %(rows)s::json)
    ON CONFLICT (property_id, assignee_id, category) DO UPDATE
   SET tickets = ARRAY[
           c.tickets[1] + excluded.tickets[1], c.tickets[2] + excluded.tickets[2],
           c.tickets[3] + excluded.tickets[3], c.tickets[4] + excluded.tickets[4],
           c.tickets[5] + excluded.tickets[5], c.tickets[6] + excluded.tickets[6],
           c.tickets[7] + excluded.tickets[7], c.tickets[8] + excluded.tickets[8],
           c.tickets[9] + excluded.tickets[9], c.tickets[10] + excluded.tickets[10],
           c.tickets[11] + excluded.tickets[11], c.tickets[12] + excluded.tickets[12]];

-- name: delete_empty_counts
-- By ctid, so that each row is looked up in the primary key, whatever the planner estimates.
DELETE FROM ticket_counts
 WHERE ctid = ANY(ARRAY(
    SELECT c.ctid
      FROM json_populate_recordset(NULL::ticket_counts, %(rows)s::json) r
     CROSS JOIN LATERAL (SELECT ctid FROM ticket_counts
                          WHERE property_id = r.property_id AND assignee_id = r.assignee_id
                            AND category = r.category AND 0 = ALL(tickets) LIMIT 1) c));
