-- name: find_client
SELECT id, secret_sha256, name, redirect_uris, scopes, grant_types, requires_pkce, role
  FROM access.oauth_clients
 WHERE id = %(client_id)s AND revoked_at IS NULL;

-- The grant of a code of any age: a second use of a code must be recognised.
-- name: find_code
SELECT g.id, g.client_id, g.user_id, g.scopes, g.expires_at, coalesce(person.role, 'guest'),
       g.code_expires_at > now(), g.redirect_uri, g.redirect_uri_was_given, g.code_challenge
  FROM access.oauth_grants AS g
  LEFT JOIN read.users AS person ON person.id = g.user_id
 WHERE g.code_sha256 = %(digest)s AND g.ended_at IS NULL
   AND NOT EXISTS (SELECT FROM access.deactivated_people AS inactive WHERE inactive.user_id = g.user_id);

-- name: find_refresh_token
SELECT g.id, g.client_id, g.user_id, g.scopes, g.expires_at, coalesce(person.role, 'guest'), token.generation
  FROM access.oauth_tokens AS token
  JOIN access.oauth_grants AS g ON g.id = token.grant_id
  LEFT JOIN read.users AS person ON person.id = g.user_id
 WHERE token.token_sha256 = %(digest)s AND token.is_refresh
   AND token.expires_at > now() AND g.ended_at IS NULL
   AND NOT EXISTS (SELECT FROM access.deactivated_people AS inactive WHERE inactive.user_id = g.user_id);

-- name: find_token_of_client
SELECT token.is_refresh, token.grant_id, token.user_id, token.scopes, token.issued_at, token.expires_at,
       NOT EXISTS (SELECT FROM access.deactivated_people AS inactive WHERE inactive.user_id = token.user_id)
       AND (NOT token.is_refresh
            OR token.generation = (SELECT max(other.generation) FROM access.oauth_tokens AS other
                                    WHERE other.grant_id = token.grant_id AND other.is_refresh))
  FROM access.oauth_tokens AS token
 WHERE token.token_sha256 = %(digest)s AND token.client_id = %(client_id)s AND token.expires_at > now();

-- name: list_grants_of_user
SELECT g.id, client.name, client.id, g.scopes, g.given_at, g.expires_at,
       (SELECT last_used_at FROM access.rate_windows WHERE key_id = client.id || '/' || g.user_id)
  FROM access.oauth_grants AS g
  JOIN access.oauth_clients AS client ON client.id = g.client_id
 WHERE g.user_id = %(user_id)s AND g.ended_at IS NULL AND g.expires_at > now()
   AND EXISTS (SELECT 1 FROM access.oauth_tokens AS token WHERE token.grant_id = g.id AND token.expires_at > now())
 ORDER BY g.given_at DESC, g.id
 LIMIT 200;

-- name: list_clients
SELECT client.id, client.name, client.secret_sha256 IS NULL, client.hint, client.redirect_uris, client.scopes,
       client.grant_types, client.requires_pkce, client.role, client.property_ids, client.rate_limit,
       client.origins, client.created_at, client.revoked_at,
       (SELECT max(rate.last_used_at) FROM access.rate_windows AS rate
         WHERE rate.key_id >= client.id || '/' AND rate.key_id < client.id || '0'),
       (SELECT count(*) FROM access.oauth_grants AS g
         WHERE g.client_id = client.id AND g.ended_at IS NULL AND g.expires_at > now())
  FROM access.oauth_clients AS client
 ORDER BY client.created_at, client.id;
