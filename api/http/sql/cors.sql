-- name: list_origins
SELECT DISTINCT unnest(origins) FROM access.oauth_clients WHERE revoked_at IS NULL AND origins <> '{}';
