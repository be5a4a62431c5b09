-- name: read_server_settings
SELECT name, current_setting(name) FROM unnest(%(names)s::text[]) AS s (name);

-- name: read_session_settings
SELECT name, current_setting(name, true) FROM unnest(%(names)s::text[]) AS s (name);

-- name: read_clock
SELECT clock_timestamp();

-- name: list_triggers
-- The triggers that are present, with their function and whether they fire in ordinary sessions ('O') or in all ('A').
SELECT tgrelid::regclass::text AS table_name, tgname::text AS name, tgfoid::regproc::text AS function,
       tgenabled::text AS enabled
  FROM pg_trigger
 WHERE NOT tgisinternal AND tgrelid = ANY(ARRAY(SELECT to_regclass(name) FROM unnest(%(tables)s::text[]) AS t (name)));

-- name: list_privileges
-- The privileges of the role of this session on tables that are append-only. Superusers have all.
SELECT t.name AS table_name, p.name AS privilege, has_table_privilege(t.name, p.name) AS is_granted
  FROM unnest(%(tables)s::text[]) AS t (name), unnest(%(privileges)s::text[]) AS p (name);

-- name: read_role
-- Whether the role of this session may disable the triggers: as a superuser, or as (a member of) the owner of the log.
SELECT current_user::text AS name,
       (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS is_superuser,
       (SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = 'es.stored_events'::regclass) AS owns_log;

-- name: read_sequence
SELECT s.cache_size, coalesce(s.last_value, 0) AS last_value,
       (SELECT coalesce(max(notification_id), 0) FROM es.stored_events) AS log_end
  FROM pg_sequences s
 WHERE s.schemaname = 'es' AND s.sequencename = 'stored_events_notification_id_seq';

-- name: count_failures
SELECT (SELECT count(*) FROM read.parked_events) AS parked,
       (SELECT count(*) FROM hook.dead_letters) AS dead_letters,
       (SELECT count(*) FROM (SELECT FROM hook.deliveries WHERE status = 'dead' LIMIT 10000) d) AS dead_deliveries;

-- name: count_stuck
-- Deliveries that are leased for longer than any attempt lasts, and deliveries that are due and that no dispatcher has
-- claimed for some time. Counted up to a limit.
SELECT (SELECT count(*) FROM (SELECT FROM hook.deliveries
                               WHERE status = 'pending' AND leased_until > now() + %(longest)s LIMIT 10000) l) AS leased,
       (SELECT count(*) FROM (SELECT FROM hook.deliveries d
                                JOIN hook.endpoints e ON e.id = d.endpoint_id
                                LEFT JOIN hook.health h ON h.endpoint_id = e.id
                               WHERE d.status = 'pending' AND d.next_at <= now() - %(overdue)s
                                 AND (d.leased_until IS NULL OR d.leased_until <= now() - %(overdue)s)
                                 AND e.is_enabled AND e.deleted_at IS NULL
                                 AND (h.paused_until IS NULL OR h.paused_until <= now() - %(overdue)s)
                                 AND e.max_per_second IS NULL AND e.max_in_flight IS NULL
                                 AND NOT EXISTS (
                                     SELECT FROM hook.deliveries earlier
                                      WHERE earlier.endpoint_id = d.endpoint_id
                                        AND earlier.aggregate_id = d.aggregate_id AND earlier.status = 'pending'
                                        AND (earlier.version, earlier.id) < (d.version, d.id))
                               LIMIT 10000) o) AS overdue;

-- name: read_published
-- The number of partitions with which the relay began to publish; NULL if it has not begun.
SELECT position, partitions FROM relay.position;

-- name: is_migrated
SELECT to_regclass('es.stored_events') IS NOT NULL AND to_regclass('public.ticketing_migrations') IS NOT NULL;

-- name: is_replica
SELECT pg_is_in_recovery();

-- name: read_shown
SELECT position FROM read.projector_position;

-- name: read_standby_names
SELECT current_setting('synchronous_standby_names');

-- name: count_standbys
-- Other columns of the view are NULL for roles without pg_read_all_stats.
SELECT count(*) FROM pg_stat_replication;

-- name: newest_attachments
SELECT id FROM read.attachments ORDER BY created_at DESC LIMIT %(limit)s;
