-- name: take_seat
SELECT pg_try_advisory_lock(%(class)s, %(seat)s);

-- name: count_seats
SELECT count(*) FROM pg_locks
 WHERE locktype = 'advisory' AND classid = %(class)s AND objsubid = 2 AND granted
   AND database = (SELECT oid FROM pg_database WHERE datname = current_database());

-- name: tell_behind
INSERT INTO hook.consumers (seat, behind, seen_at) VALUES (%(seat)s, %(behind)s, now())
    ON CONFLICT (seat) DO UPDATE SET behind = excluded.behind, seen_at = excluded.seen_at;
