-- Finds the key with its person and counts the request, in one round trip. The last column, if it is asked for, is the
-- position that the read tables had when the statement began: they show every change that was answered before. Returns
-- no row when the key is not valid, its person is deactivated, or it has no window yet. The commit does not wait for
-- the disk, because the counter is in an unlogged table. synchronous_commit = off prevents a wait when a read also
-- prunes a page of a logged table.
-- name: authenticate_and_count
UPDATE access.rate_windows AS rate
   SET used = CASE WHEN rate.started_at > now() - interval '1 hour'
                   THEN least(rate.used, coalesce(key.rate_limit, 2147483646)) + 1
                   ELSE 1 END,
       started_at = CASE WHEN rate.started_at > now() - interval '1 hour' THEN rate.started_at ELSE now() END,
       last_used_at = now()
  FROM access.api_keys AS key
  LEFT JOIN read.users AS person ON person.id = key.user_id
  LEFT JOIN access.deactivated_people AS inactive ON inactive.user_id = key.user_id
 WHERE key.secret_sha256 = %(digest)s
   AND key.revoked_at IS NULL
   AND (key.expires_at IS NULL OR key.expires_at > now())
   AND inactive.user_id IS NULL
   AND rate.key_id = key.id
RETURNING key.id, key.secret_sha256, key.name, key.role, key.user_id, key.property_ids, key.scopes,
          person.name, person.role, person.property_ids,
          coalesce(key.rate_limit, 2147483647), rate.used, date_part('epoch', rate.started_at) + 3600,
          date_part('epoch', now()), rate.pending_position, set_config('synchronous_commit', 'off', true),
          CASE WHEN %(with_position)s THEN (SELECT position FROM read.projector_position) END;

-- The same without counting, for a database that cannot write. A key without a window counts as unused.
-- name: authenticate
SELECT key.id, key.secret_sha256, key.name, key.role, key.user_id, key.property_ids, key.scopes,
       person.name, person.role, person.property_ids,
       coalesce(key.rate_limit, 2147483647), coalesce(rate.used, 0),
       date_part('epoch', coalesce(rate.started_at, now())) + 3600, date_part('epoch', now()), rate.pending_position
  FROM access.api_keys AS key
  LEFT JOIN read.users AS person ON person.id = key.user_id
  LEFT JOIN access.deactivated_people AS inactive ON inactive.user_id = key.user_id
  LEFT JOIN access.rate_windows AS rate ON rate.key_id = key.id AND rate.started_at > now() - interval '1 hour'
 WHERE key.secret_sha256 = %(digest)s
   AND key.revoked_at IS NULL
   AND (key.expires_at IS NULL OR key.expires_at > now())
   AND inactive.user_id IS NULL;

-- name: open_window
INSERT INTO access.rate_windows (key_id, started_at, used, last_used_at)
SELECT id, now(), 0, now() FROM access.api_keys WHERE secret_sha256 = %(digest)s
    ON CONFLICT (key_id) DO NOTHING;

-- The same for a token of an OAuth client, whose rate limit counts each person separately.
-- name: authenticate_token_and_count
UPDATE access.rate_windows AS rate
   SET used = CASE WHEN rate.started_at > now() - interval '1 hour'
                   THEN least(rate.used, coalesce(client.rate_limit, 2147483646)) + 1
                   ELSE 1 END,
       started_at = CASE WHEN rate.started_at > now() - interval '1 hour' THEN rate.started_at ELSE now() END,
       last_used_at = now()
  FROM access.oauth_tokens AS token
  JOIN access.oauth_clients AS client ON client.id = token.client_id
  LEFT JOIN read.users AS person ON person.id = token.user_id
  LEFT JOIN access.deactivated_people AS inactive ON inactive.user_id = token.user_id
 WHERE token.token_sha256 = %(digest)s
   AND NOT token.is_refresh
   AND token.expires_at > now()
   AND client.revoked_at IS NULL
   AND inactive.user_id IS NULL
   AND rate.key_id = token.rate_key
RETURNING client.id, token.token_sha256, client.name, client.role, token.user_id, client.property_ids,
          token.scopes, person.name, person.role, person.property_ids,
          coalesce(client.rate_limit, 2147483647), rate.used, date_part('epoch', rate.started_at) + 3600,
          date_part('epoch', now()), rate.pending_position, set_config('synchronous_commit', 'off', true),
          CASE WHEN %(with_position)s THEN (SELECT position FROM read.projector_position) END;

-- name: authenticate_token
SELECT client.id, token.token_sha256, client.name, client.role, token.user_id, client.property_ids,
       token.scopes, person.name, person.role, person.property_ids,
       coalesce(client.rate_limit, 2147483647), coalesce(rate.used, 0),
       date_part('epoch', coalesce(rate.started_at, now())) + 3600, date_part('epoch', now()), rate.pending_position
  FROM access.oauth_tokens AS token
  JOIN access.oauth_clients AS client ON client.id = token.client_id
  LEFT JOIN read.users AS person ON person.id = token.user_id
  LEFT JOIN access.deactivated_people AS inactive ON inactive.user_id = token.user_id
  LEFT JOIN access.rate_windows AS rate
         ON rate.key_id = token.rate_key AND rate.started_at > now() - interval '1 hour'
 WHERE token.token_sha256 = %(digest)s
   AND NOT token.is_refresh
   AND token.expires_at > now()
   AND client.revoked_at IS NULL
   AND inactive.user_id IS NULL;

-- name: open_token_window
INSERT INTO access.rate_windows (key_id, started_at, used, last_used_at)
SELECT rate_key, now(), 0, now() FROM access.oauth_tokens WHERE token_sha256 = %(digest)s AND NOT is_refresh
    ON CONFLICT (key_id) DO NOTHING;

-- Counts actions without a key or access token: forms of the pages, and requests for tokens.
-- name: count_action
INSERT INTO access.rate_windows AS rate (key_id, started_at, used, last_used_at)
VALUES (%(key)s, now(), 1, now())
    ON CONFLICT (key_id) DO UPDATE
   SET used = CASE WHEN rate.started_at > now() - interval '1 hour' THEN least(rate.used, %(limit)s) + 1 ELSE 1 END,
       started_at = CASE WHEN rate.started_at > now() - interval '1 hour' THEN rate.started_at ELSE now() END,
       last_used_at = now()
RETURNING %(limit)s, used, date_part('epoch', started_at) + 3600, date_part('epoch', now());
