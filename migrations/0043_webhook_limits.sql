-- The limits of webhooks, which all dispatchers share. A dispatcher locks the row of a webhook while it claims for it.
--
-- `next_at` is the time of the next post of a webhook with `max_per_second`.
CREATE TABLE hook.limits (
    endpoint_id text PRIMARY KEY,
    next_at timestamptz NOT NULL DEFAULT '-infinity'
) WITH (fillfactor = 50);

-- How many deliveries of a webhook may be claimed now, and the time of the first of their posts. 0 while another
-- dispatcher claims for it. The lock is held until the end of the transaction.
--
-- VOLATILE, so the statements after the lock see what its former holder claimed. Posts are planned at most `horizon`
-- ahead: longer than the pause between two claims, so that the rate is reached.
CREATE FUNCTION hook.reserve(
    endpoint text, per_second integer, in_flight integer, OUT places integer, OUT first_at timestamptz
) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    horizon CONSTANT interval := '0.5 s';
BEGIN
    places := 0;
    SELECT greatest(l.next_at, now()) INTO first_at
      FROM hook.limits l WHERE l.endpoint_id = endpoint FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    places := 1000;
    IF per_second IS NOT NULL THEN
        places := greatest(0, ceil(extract(epoch FROM now() + horizon - first_at) * per_second));
    END IF;
    IF in_flight IS NOT NULL THEN
        places := least(places, in_flight - (
            SELECT count(*) FROM hook.deliveries d
             WHERE d.endpoint_id = endpoint AND d.status = 'pending' AND d.leased_until > now()));
    END IF;
    places := greatest(places, 0);
END $$;
