-- name: list_keys
SELECT keys.id, keys.hint, keys.name, keys.role, keys.user_id, keys.property_ids, keys.scopes,
       keys.rate_limit, keys.created_at, keys.expires_at, keys.revoked_at, windows.last_used_at
  FROM access.api_keys AS keys
  LEFT JOIN access.rate_windows AS windows ON windows.key_id = keys.id
 ORDER BY keys.created_at, keys.id;

-- name: is_working_admin_key
SELECT EXISTS (
    SELECT 1 FROM access.api_keys AS keys
     WHERE secret_sha256 = %(sha256)s AND role = 'admin' AND revoked_at IS NULL
       AND (expires_at IS NULL OR expires_at > now())
       AND NOT EXISTS (SELECT FROM access.deactivated_people AS inactive WHERE inactive.user_id = keys.user_id));
