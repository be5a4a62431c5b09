-- name: save_password
INSERT INTO access.passwords AS kept (user_id, hash, changed_at)
VALUES (%(user_id)s, %(hash)s, %(changed_at)s)
    ON CONFLICT (user_id) DO UPDATE SET hash = excluded.hash, changed_at = excluded.changed_at;

-- A new password ends all sessions.
-- name: delete_sessions_of_user
DELETE FROM access.sessions WHERE user_id = %(user_id)s;
