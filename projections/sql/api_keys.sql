-- name: list_keys
SELECT count(*) OVER (), k.id, k.hint, k.name, k.role, k.user_id, u.name, k.property_ids, k.scopes, k.rate_limit,
       k.created_at, k.expires_at, k.revoked_at, w.last_used_at
  FROM access.api_keys k
  LEFT JOIN access.rate_windows w ON w.key_id = k.id
  LEFT JOIN read.users u ON u.id = k.user_id
 ORDER BY k.revoked_at IS NOT NULL, k.created_at DESC, k.id DESC
 LIMIT %(limit)s OFFSET %(offset)s;

-- name: get_key
SELECT k.id, k.hint, k.name, k.role, k.user_id, u.name, k.property_ids, k.scopes, k.rate_limit, k.created_at,
       k.expires_at, k.revoked_at, w.last_used_at
  FROM access.api_keys k
  LEFT JOIN access.rate_windows w ON w.key_id = k.id
  LEFT JOIN read.users u ON u.id = k.user_id
 WHERE k.id = %(id)s;
