-- name: store_position
UPDATE access.rate_windows SET pending_position = greatest(pending_position, %(position)s) WHERE key_id = %(key)s;

-- name: forget_position
-- Keeps a later position, which another request has stored meanwhile.
UPDATE access.rate_windows SET pending_position = NULL WHERE key_id = %(key)s AND pending_position <= %(position)s;
