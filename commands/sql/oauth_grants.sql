-- name: insert_grant
INSERT INTO access.oauth_grants
       (id, client_id, user_id, scopes, given_at, expires_at, code_sha256, code_expires_at, redirect_uri,
        redirect_uri_was_given, code_challenge)
VALUES (%(id)s, %(client_id)s, %(user_id)s, %(scopes)s, %(given_at)s, %(expires_at)s, %(code_sha256)s,
        now() + %(code_lifetime)s, %(redirect_uri)s, %(redirect_uri_was_given)s, %(code_challenge)s)
    ON CONFLICT (id) DO NOTHING;

-- Returns no row when the client was revoked meanwhile.
-- name: insert_token
INSERT INTO access.oauth_tokens
       (token_sha256, is_refresh, client_id, grant_id, user_id, scopes, generation, rate_key, issued_at, expires_at)
SELECT %(token_sha256)s, %(is_refresh)s, client.id, %(grant_id)s, %(user_id)s, %(scopes)s, %(generation)s,
       %(rate_key)s, now(), least(now() + %(lifetime)s, %(ends_at)s::timestamptz)
  FROM access.oauth_clients AS client
 WHERE client.id = %(client_id)s AND client.revoked_at IS NULL
   FOR SHARE
    ON CONFLICT (token_sha256) DO NOTHING;

-- name: end_grant
UPDATE access.oauth_grants SET ended_at = %(at)s WHERE id = %(id)s AND ended_at IS NULL;

-- name: delete_tokens_of_grant
DELETE FROM access.oauth_tokens WHERE grant_id = %(id)s;

-- name: delete_token
DELETE FROM access.oauth_tokens WHERE token_sha256 = %(token_sha256)s;

-- name: purge_tokens
DELETE FROM access.oauth_tokens
 WHERE token_sha256 IN (
       SELECT token_sha256 FROM access.oauth_tokens
        WHERE expires_at <= now() ORDER BY expires_at LIMIT 1000 FOR UPDATE SKIP LOCKED);

-- Deletes grants a while after their end, so that a second use of a code or refresh token is recognised.
-- name: purge_grants
DELETE FROM access.oauth_grants
 WHERE id IN (
       SELECT id FROM access.oauth_grants
        WHERE expires_at <= now() ORDER BY expires_at LIMIT 1000 FOR UPDATE SKIP LOCKED);
