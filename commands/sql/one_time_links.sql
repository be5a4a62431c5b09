-- name: replace_link
INSERT INTO access.one_time_links AS link (user_id, id, secret_sha256, issuer_id, expires_at)
VALUES (%(user_id)s, %(id)s, %(secret_sha256)s, %(issuer_id)s, %(expires_at)s)
    ON CONFLICT (user_id) DO UPDATE
   SET id = excluded.id, secret_sha256 = excluded.secret_sha256, issuer_id = excluded.issuer_id,
       expires_at = excluded.expires_at;

-- name: delete_link
DELETE FROM access.one_time_links WHERE user_id = %(user_id)s;

-- name: find_link
-- The link of an issuer who is deactivated is invalid: they may have kept it.
SELECT link.id, link.user_id FROM access.one_time_links AS link
 WHERE link.secret_sha256 = %(secret_sha256)s AND link.expires_at > now()
   AND NOT EXISTS (SELECT FROM access.deactivated_people AS inactive WHERE inactive.user_id = link.issuer_id);
