-- name: is_standby
SELECT pg_is_in_recovery();

-- name: read_watermark
-- Read it before the snapshot: then the snapshot has every event up to it.
SELECT es.stored_events_watermark();

-- name: export_snapshot
SELECT pg_export_snapshot();

-- name: read_facts
SELECT (SELECT id FROM notary.log) AS installation_id,
       coalesce(max(notification_id), 0) AS log_end,
       count(*) AS events,
       (SELECT coalesce(max(number), 0) FROM notary.statements) AS statements,
       -- 1,000 events more than the dispatchers were behind, because they store their progress every 2 s.
       coalesce((SELECT e.notification_id FROM es.stored_events e, relay.position p
                  WHERE e.notification_id <= p.position ORDER BY e.notification_id DESC
                 OFFSET 1000 + (SELECT coalesce(sum(behind), 0) FROM hook.consumers) LIMIT 1), 0) AS dispatched_to,
       (SELECT count(*) FROM hook.deliveries WHERE status = 'pending') AS pending_deliveries
  FROM es.stored_events;

-- name: attached_files
-- The files that the log names and that were not removed.
WITH files AS MATERIALIZED (
    SELECT topic, convert_from(state, 'UTF8')::json AS event
      FROM es.stored_events WHERE topic IN ('ticket.file_attached', 'ticket.file_removed'))
SELECT a.event ->> 'attachment_id' AS attachment_id, a.event ->> 'sha256' AS sha256
  FROM files a
 WHERE a.topic = 'ticket.file_attached'
   AND NOT EXISTS (SELECT FROM files r
                    WHERE r.topic = 'ticket.file_removed'
                      AND r.event ->> 'attachment_id' = a.event ->> 'attachment_id')
 ORDER BY 1;

-- name: removed_since
-- Those of the files that are removed by now. The content is deleted after the commit of its removal.
SELECT convert_from(state, 'UTF8')::json ->> 'attachment_id' AS attachment_id
  FROM es.stored_events
 WHERE topic = 'ticket.file_removed'
   AND convert_from(state, 'UTF8')::json ->> 'attachment_id' = ANY(%(ids)s);

-- name: foreign_objects
-- What the database contains, apart from the mark of a restore, extensions and what every database contains.
SELECT n.nspname || '.' || c.relname AS name
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname !~ '^(pg_|information_schema$)' AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
   AND c.oid IS DISTINCT FROM to_regclass('public.ticketing_restore')
   AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
UNION ALL
SELECT n.nspname
  FROM pg_namespace n
 WHERE n.nspname !~ '^(pg_|information_schema$|public$)'
   AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = n.oid AND d.deptype = 'e')
 ORDER BY 1 LIMIT 3;

-- name: is_marked
SELECT to_regclass('public.ticketing_restore') IS NOT NULL;

-- name: has_log
SELECT to_regclass('es.stored_events') IS NOT NULL;

-- name: create_mark
CREATE TABLE public.ticketing_restore (backup text NOT NULL, started_at timestamptz NOT NULL DEFAULT now());

-- name: insert_mark
INSERT INTO public.ticketing_restore (backup) VALUES (%(backup)s);

-- name: read_mark
SELECT backup FROM public.ticketing_restore;

-- name: drop_mark
DROP TABLE IF EXISTS public.ticketing_restore;

-- name: lock_restore
-- Only one restore at a time writes to a database.
SELECT pg_try_advisory_lock(%(key)s);

-- name: end_left_behind
-- Ends the pg_restore that a killed restore left behind, and waits for that, so that its transaction is rolled back.
SELECT pg_terminate_backend(pid, 10000)
  FROM pg_stat_activity
 WHERE datname = current_database() AND application_name = %(application)s AND pid <> pg_backend_pid();

-- name: restrict_grants
-- pg_restore without privileges leaves this function to everyone.
REVOKE ALL ON FUNCTION public.ticketing_grant FROM PUBLIC;

-- name: skip_positions
-- The sequence is never set back.
SELECT setval(s.name, greatest(pg_sequence_last_value(s.name), %(position)s::bigint, 1))
  FROM (SELECT 'es.stored_events_notification_id_seq'::regclass AS name) s;
