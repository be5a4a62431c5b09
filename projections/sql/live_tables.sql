-- name: find_read_schemas
SELECT nspname FROM pg_namespace WHERE nspname ~ '^read(_[0-9a-f]{12})?$' ORDER BY nspname;

-- name: is_followed
-- Whether a projector leads. The key fits into objid, as its high half is 0.
SELECT EXISTS (SELECT FROM pg_locks
                WHERE locktype = 'advisory' AND classid = 0 AND objid = %(key)s AND objsubid = 1
                  AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database()));
