-- name: create_tables
-- `ticketing_migrations` is what programs before 0070 read: they refuse every name in it that they do not know. So
-- expansions are stored only in `ticketing_changes`. A contraction is stored, with `finished_at` NULL, before it
-- begins: from then on the programs before `least_program` refuse to start.
CREATE TABLE IF NOT EXISTS public.ticketing_migrations (
    name text PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE IF NOT EXISTS public.ticketing_changes (
    name text PRIMARY KEY,
    least_program integer NOT NULL DEFAULT 0,
    started_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz
);

-- name: find_tables
SELECT to_regclass('public.ticketing_migrations') IS NOT NULL, to_regclass('public.ticketing_changes') IS NOT NULL;

-- name: read_migrations
SELECT name, NULL::integer AS least_program, true AS is_finished FROM public.ticketing_migrations;

-- name: read_changes
SELECT name, least_program, finished_at IS NOT NULL AS is_finished FROM public.ticketing_changes;

-- name: store_migration
INSERT INTO public.ticketing_migrations (name) VALUES (%(name)s) ON CONFLICT DO NOTHING;

-- name: begin_change
INSERT INTO public.ticketing_changes (name, least_program) VALUES (%(name)s, %(least_program)s) ON CONFLICT DO NOTHING;

-- name: finish_change
UPDATE public.ticketing_changes SET finished_at = now() WHERE name = %(name)s;

-- name: withdraw_migrations
DELETE FROM public.ticketing_migrations WHERE name = ANY(%(names)s);

-- name: withdraw_changes
DELETE FROM public.ticketing_changes WHERE name = ANY(%(names)s) AND finished_at IS NULL;

-- name: take_lock
SELECT pg_try_advisory_lock(%(key)s);

-- name: find_invalid_index
-- What a CREATE INDEX CONCURRENTLY that was interrupted leaves behind: it slows down writes, and is not used by reads.
SELECT EXISTS (SELECT FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
                WHERE NOT i.indisvalid AND c.relname = %(index)s AND c.relnamespace = to_regnamespace(%(schema)s));

-- name: find_sessions
-- The sessions of our processes and commands in this database but this one. The names of their applications are
-- `ticketing-NAME` before 0070, later `ticketing-NAME/PROGRAM`, and `ticketing-NAME/PROGRAM/SCHEMA` if the read
-- tables are not those of the schema `read`.
SELECT a.pid, a.application_name, a.client_addr::text AS client, a.backend_start AS since
  FROM pg_stat_activity a
 WHERE a.datname = current_database() AND a.application_name LIKE 'ticketing-%%' AND a.pid <> pg_backend_pid()
 ORDER BY a.pid;

-- name: find_long_transactions
-- The sessions that hold a lock on a table and may so prevent a migration.
SELECT DISTINCT a.pid, a.application_name, a.client_addr::text AS client, a.xact_start AS since
  FROM pg_locks l
  JOIN pg_stat_activity a ON a.pid = l.pid
 WHERE l.locktype = 'relation' AND l.granted AND a.datname = current_database() AND a.pid <> pg_backend_pid()
   AND a.xact_start < clock_timestamp() - interval '1 second'
 ORDER BY a.pid
 LIMIT 5;
