-- Read the last drawn position through a function that waits for a running nextval().
--
-- nextval() writes the sequence's row twice when it also writes to the WAL, which is every 32nd time: first with
-- a value 32 higher, then with the right one, both under a lock on the page. A SELECT FROM the sequence reads
-- the row without that lock and can see the higher value. A writer's key or a reader's limit is then up to 32
-- too high, and the reader passes positions that are not committed yet. pg_sequence_last_value() takes the lock.
CREATE FUNCTION es.stored_events_last_position() RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    RETURN coalesce(pg_sequence_last_value('es.stored_events_notification_id_seq'::regclass), 0);
END $$;

CREATE OR REPLACE FUNCTION es.stored_events_enter() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(
        (17747::bigint << 48) | (es.stored_events_last_position() & 281474976710655));
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION es.stored_events_watermark() RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    highest bigint;
    lowest_writer bigint;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'the watermark needs READ COMMITTED';       -- a single snapshot loses events
    END IF;
    highest := es.stored_events_last_position();
    SELECT min(((classid::bigint << 32) | objid::bigint) & 281474976710655) INTO lowest_writer
      FROM pg_locks
     WHERE locktype = 'advisory' AND objsubid = 1 AND (classid::bigint >> 16) = 17747
       AND database = (SELECT oid FROM pg_database WHERE datname = current_database());
    RETURN least(highest, coalesce(lowest_writer, highest));
END $$;
