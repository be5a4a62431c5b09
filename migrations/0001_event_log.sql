-- The event log, and the protocol that lets readers follow it without a table lock.
--
-- A writer first takes a shared advisory lock whose key is the sequence's last value, then draws its
-- positions, which are all greater. A reader reads the sequence's last value, then the smallest locked
-- key, then the rows up to the lesser of the two, which is the watermark. PostgreSQL makes a commit
-- visible before it releases the locks, so every row up to the watermark is visible, and no row can
-- appear below a position that a follower has passed. tests/integration/test_watermark.py proves this,
-- with a control that ignores the watermark and loses events.
CREATE SCHEMA es;

CREATE TABLE es.stored_events (
    originator_id text NOT NULL,
    originator_version bigint NOT NULL,
    topic text NOT NULL,
    state bytea NOT NULL,
    notification_id bigserial,            -- the sequence must keep CACHE 1; never set it back
    PRIMARY KEY (originator_id, originator_version)
) WITH (autovacuum_analyze_threshold = 1000, autovacuum_analyze_scale_factor = 0.05);

CREATE UNIQUE INDEX stored_events_notification_id_idx ON es.stored_events (notification_id);

-- 17747 (0x4553) is the namespace of the advisory keys: one for each event table, less than 2^15.
CREATE FUNCTION es.stored_events_enter() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(
        (17747::bigint << 48) | ((last_value - (NOT is_called)::int) & 281474976710655))
       FROM es.stored_events_notification_id_seq;
    RETURN NULL;
END $$;

CREATE TRIGGER stored_events_enter BEFORE INSERT ON es.stored_events
    FOR EACH STATEMENT EXECUTE FUNCTION es.stored_events_enter();
ALTER TABLE es.stored_events ENABLE ALWAYS TRIGGER stored_events_enter;

CREATE FUNCTION es.stored_events_watermark() RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    highest bigint;
    lowest_writer bigint;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'the watermark needs READ COMMITTED';       -- a single snapshot loses events
    END IF;
    SELECT last_value - (NOT is_called)::int INTO highest FROM es.stored_events_notification_id_seq;
    SELECT min(((classid::bigint << 32) | objid::bigint) & 281474976710655) INTO lowest_writer
      FROM pg_locks
     WHERE locktype = 'advisory' AND objsubid = 1 AND (classid::bigint >> 16) = 17747
       AND database = (SELECT oid FROM pg_database WHERE datname = current_database());
    RETURN least(highest, coalesce(lowest_writer, highest));
END $$;

CREATE FUNCTION es.stored_events_read(after bigint, lim int, topics text[])
RETURNS SETOF es.stored_events LANGUAGE plpgsql VOLATILE AS $$      -- VOLATILE: each statement has its own snapshot
DECLARE
    watermark bigint := es.stored_events_watermark();
BEGIN
    RETURN QUERY
    SELECT * FROM es.stored_events e
     WHERE e.notification_id > after AND e.notification_id <= watermark
       AND (topics IS NULL OR e.topic = ANY(topics))
     ORDER BY e.notification_id LIMIT lim;
END $$;

-- The log is append-only.
CREATE FUNCTION es.stored_events_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'es.stored_events is append-only: % refused', TG_OP USING ERRCODE = '42501';
END $$;

CREATE TRIGGER stored_events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON es.stored_events
    FOR EACH STATEMENT EXECUTE FUNCTION es.stored_events_refuse();
ALTER TABLE es.stored_events ENABLE ALWAYS TRIGGER stored_events_append_only;
