-- name: lock_member_id
SELECT pg_try_advisory_lock(%(class)s, %(member_id)s);

-- name: count_members
SELECT count(*) FROM pg_locks
 WHERE locktype = 'advisory' AND classid = %(class)s AND objsubid = 2 AND granted
   AND database = (SELECT oid FROM pg_database WHERE datname = current_database());

-- name: store_lag
INSERT INTO hook.consumers (seat, behind, seen_at) VALUES (%(seat)s, %(behind)s, now())
    ON CONFLICT (seat) DO UPDATE SET behind = excluded.behind, seen_at = excluded.seen_at;
