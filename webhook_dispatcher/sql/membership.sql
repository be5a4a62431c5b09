-- name: take_seat
SELECT pg_try_advisory_lock(%(class)s, %(seat)s);

-- name: count_seats
SELECT count(*) FROM pg_locks
 WHERE locktype = 'advisory' AND classid = %(class)s AND objsubid = 2 AND granted
   AND database = (SELECT oid FROM pg_database WHERE datname = current_database());
