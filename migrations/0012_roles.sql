-- Takes the table lock of EVENT_LOG_LOCK=table for a role that may only read and append: PostgreSQL requires
-- the right to update for it. The lock is released with the transaction.
CREATE FUNCTION es.stored_events_lock() RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = es AS $$
    LOCK TABLE es.stored_events IN EXCLUSIVE MODE;
$$;

-- Grants `role` the rights that the processes need: to read and append to the log and the notary's tables, to
-- read and write the other tables, and to own the read tables, which a rebuild drops and refills. Called after
-- each migration (infrastructure/storage/roles.py).
CREATE FUNCTION public.ticketing_grant(role text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    name text;
BEGIN
    EXECUTE format('GRANT CREATE ON DATABASE %I TO %I', current_database(), role);
    EXECUTE format('GRANT SELECT ON public.ticketing_migrations TO %I', role);
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
REVOKE ALL ON FUNCTION public.ticketing_grant FROM PUBLIC;
