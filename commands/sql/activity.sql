-- name: take_turns
-- Deactivations of admins run one at a time: otherwise two admins could deactivate each other.
SELECT pg_advisory_xact_lock(17748, 0);

-- name: other_admins
SELECT id FROM read.users WHERE role = 'admin' AND is_active AND id <> %(user_id)s ORDER BY created_at, id LIMIT 100;

-- name: deactivate
INSERT INTO access.deactivated_people (user_id, deactivated_at) VALUES (%(user_id)s, %(at)s)
    ON CONFLICT (user_id) DO NOTHING;

-- name: reactivate
DELETE FROM access.deactivated_people WHERE user_id = %(user_id)s;

-- name: delete_sessions
-- At both: a sign-in that began before the deactivation may have stored a session after it.
DELETE FROM access.sessions WHERE user_id = %(user_id)s;
