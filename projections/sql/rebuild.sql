-- name: lock_live_tables
-- Locks the table, not only its row: a projector that waits for a table lock resolves the name again after the swap,
-- and so continues with the new tables. Waits for readers too: after the swap, a transaction with an older snapshot,
-- such as that of pg_dump, would find the new tables empty.
LOCK TABLE read.projector_position IN ACCESS EXCLUSIVE MODE;

-- name: lock_live_position
SELECT position FROM read.projector_position FOR UPDATE;

-- name: read_live_position
SELECT position FROM read.projector_position;

-- name: read_end
-- The last event that can be read. The watermark may be higher: refused appends leave gaps at the end of the log.
SELECT coalesce(max(notification_id), 0) FROM es.stored_events
 WHERE notification_id <= (SELECT es.stored_events_watermark());

-- name: read_position
SELECT position FROM projector_position;

-- name: put_copy_in_place
ALTER SCHEMA read_next RENAME TO {live};

-- name: tell_readers
SELECT pg_notify('ticketing_projected' || substr(%(schema)s, 5), %(position)s::text);

-- name: vacuum_copy
-- Statistics for the planner, and the visibility map, without which an index-only scan reads the table too.
VACUUM (ANALYZE) read_next.properties, read_next.units, read_next.users, read_next.tickets, read_next.ticket_counts,
                 read_next.comments, read_next.attachments, read_next.past_tickets, read_next.past_texts,
                 read_next.search_parts, read_next.search_documents, read_next.audit_events;

-- name: summarize_copy
-- Autovacuum would do this later. Until then, searches would read every row that was just written.
SELECT brin_summarize_new_values('read_next.audit_events_terms_idx');

-- name: take_copy_off_the_log
-- A copy that is only compared and then dropped need not survive a crash.
ALTER TABLE read_next.tickets SET UNLOGGED;
ALTER TABLE read_next.past_texts SET UNLOGGED;
ALTER TABLE read_next.comments SET UNLOGGED;
ALTER TABLE read_next.attachments SET UNLOGGED;
ALTER TABLE read_next.search_parts SET UNLOGGED;
ALTER TABLE read_next.search_documents SET UNLOGGED;

-- name: take_snapshot
-- The first statement of a REPEATABLE READ transaction takes the snapshot of the whole transaction.
SELECT position FROM read.projector_position;

-- name: without_autovacuum
-- The statements that switch it off for each table of the schema.
SELECT format('ALTER TABLE %%I.%%I SET (autovacuum_enabled = off)', schemaname, tablename)
  FROM pg_tables WHERE schemaname = %(schema)s;

-- name: with_autovacuum
SELECT format('ALTER TABLE %%I.%%I RESET (autovacuum_enabled)', schemaname, tablename)
  FROM pg_tables WHERE schemaname = %(schema)s;
