-- name: insert_client
INSERT INTO access.oauth_clients
       (id, secret_sha256, hint, name, redirect_uris, scopes, grant_types, requires_pkce, role, property_ids,
        rate_limit, origins, created_at)
VALUES (%(id)s, %(secret_sha256)s, %(hint)s, %(name)s, %(redirect_uris)s, %(scopes)s, %(grant_types)s,
        %(requires_pkce)s, %(role)s, %(property_ids)s, %(rate_limit)s, %(origins)s, %(created_at)s)
    ON CONFLICT (id) DO NOTHING;

-- name: replace_secret
UPDATE access.oauth_clients SET secret_sha256 = %(secret_sha256)s, hint = %(hint)s WHERE id = %(id)s;

-- name: revoke_client
UPDATE access.oauth_clients SET revoked_at = %(at)s WHERE id = %(id)s AND revoked_at IS NULL;

-- name: end_grants_of_client
UPDATE access.oauth_grants SET ended_at = %(at)s WHERE client_id = %(id)s AND ended_at IS NULL;

-- name: delete_tokens_of_client
DELETE FROM access.oauth_tokens WHERE client_id = %(id)s;
