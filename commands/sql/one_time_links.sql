-- name: replace_link
INSERT INTO access.one_time_links AS link (user_id, id, secret_sha256, expires_at)
VALUES (%(user_id)s, %(id)s, %(secret_sha256)s, %(expires_at)s)
    ON CONFLICT (user_id) DO UPDATE
   SET id = excluded.id, secret_sha256 = excluded.secret_sha256, expires_at = excluded.expires_at;

-- name: delete_link
DELETE FROM access.one_time_links WHERE user_id = %(user_id)s;

-- name: find_link
SELECT id, user_id FROM access.one_time_links WHERE secret_sha256 = %(secret_sha256)s AND expires_at > now();
