-- name: save_password
INSERT INTO access.passwords AS kept (user_id, hash, changed_at)
VALUES (%(user_id)s, %(hash)s, %(changed_at)s)
    ON CONFLICT (user_id) DO UPDATE SET hash = excluded.hash, changed_at = excluded.changed_at;

-- A new password ends all sessions but the one in which the person has just changed it.
-- name: delete_other_sessions
DELETE FROM access.sessions
 WHERE user_id = %(user_id)s AND (%(kept_session_id)s::text IS NULL OR id <> %(kept_session_id)s);

-- name: find_hash
SELECT hash FROM access.passwords WHERE user_id = %(user_id)s;
