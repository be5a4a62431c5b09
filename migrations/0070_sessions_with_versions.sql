-- phase: expand
-- The names of sessions end with the number of the program, as in `ticketing-projector/0070`
-- (infrastructure/storage/addresses.py). Both functions work for older programs as before.
CREATE OR REPLACE FUNCTION es.stalling_sessions(followers text[])
RETURNS TABLE (after bigint, waits text, pid integer, prepared text, application text, role text, client text,
               state text, since timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog AS $$
    WITH found AS (
        SELECT min(((l.classid::bigint << 32) | l.objid::bigint) & 281474976710655) AS after, NULL::text AS waits,
               l.pid, l.virtualtransaction AS transaction
          FROM pg_locks l
         WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND (l.classid::bigint >> 16) = 17747
           AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
         GROUP BY l.pid, l.virtualtransaction
        UNION ALL
        SELECT DISTINCT NULL::bigint, split_part(waiting.application_name, '/', 1), blocking.pid, NULL
          FROM pg_stat_activity waiting, unnest(pg_blocking_pids(waiting.pid)) AS blocking (pid)
         WHERE split_part(waiting.application_name, '/', 1) = ANY(followers)
           AND waiting.datname = current_database()
           AND EXISTS (SELECT FROM pg_locks w WHERE w.pid = waiting.pid AND NOT w.granted)
        UNION ALL
        SELECT DISTINCT NULL::bigint, 'ticketing-webhook-consumer', l.pid, l.virtualtransaction
          FROM pg_locks l
         WHERE 'ticketing-webhook-consumer' = ANY(followers)
           AND l.relation = to_regclass('hook.position') AND l.mode <> 'AccessShareLock' AND l.granted
           AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    )
    SELECT f.after, f.waits, f.pid, x.gid, regexp_replace(a.application_name, '^(ticketing-[^/]*)/.*', '\1'),
           coalesce(a.usename, x.owner)::text, host(a.client_addr), a.state, coalesce(a.xact_start, x.prepared)
      FROM found f
      LEFT JOIN pg_stat_activity a ON a.pid = f.pid
      LEFT JOIN pg_prepared_xacts x ON f.pid IS NULL AND EXISTS (
          SELECT FROM pg_locks own
           WHERE own.locktype = 'transactionid' AND own.transactionid = x.transaction
             AND own.pid IS NULL AND own.granted AND own.virtualtransaction = f.transaction);
$$;

-- Grants the table of changes too (infrastructure/storage/sql/migrations.sql).
CREATE OR REPLACE FUNCTION public.ticketing_grant(role text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    name text;
BEGIN
    EXECUTE format('GRANT CREATE ON DATABASE %I TO %I', current_database(), role);
    EXECUTE format('GRANT SELECT ON public.ticketing_migrations, public.ticketing_changes TO %I', role);
    FOR name IN SELECT nspname FROM pg_namespace
                 WHERE nspname !~ '^(pg_|information_schema$|public$|read)' LOOP
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', name, role);
        EXECUTE format('GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA %I TO %I', name, role);
        IF name IN ('es', 'notary') THEN
            EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA %I FROM %I', name, role);
            EXECUTE format('GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA %I TO %I', name, role);
        ELSE
            EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA %I TO %I', name, role);
        END IF;
    END LOOP;
    EXECUTE format('GRANT UPDATE (retired_at, sealed_private_key) ON notary.keys TO %I', role);
    FOR name IN SELECT oid::regclass::text FROM pg_class
                 WHERE relnamespace = to_regnamespace('read') AND relkind = 'r'
                   AND relowner <> (SELECT oid FROM pg_roles WHERE rolname = role) LOOP
        EXECUTE format('ALTER TABLE %s OWNER TO %I', name, role);
    END LOOP;
    IF to_regnamespace('read') IS NOT NULL THEN
        EXECUTE format('ALTER SCHEMA read OWNER TO %I', role);
    END IF;
END $$;
