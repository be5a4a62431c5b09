-- name: insert_endpoint
INSERT INTO hook.endpoints (id, version, url, event_names, owner_role, owner_auth, owner_user_id,
       owner_credential_id, is_enabled, created_at, updated_at)
VALUES (%(id)s, %(version)s, %(url)s, %(event_names)s, %(owner_role)s, %(owner_auth)s, %(owner_user_id)s,
       %(owner_credential_id)s, true, %(created_at)s, %(created_at)s)
    ON CONFLICT (id) DO NOTHING;

-- name: update_endpoint
UPDATE hook.endpoints
   SET version = %(version)s, url = %(url)s, event_names = %(event_names)s, is_enabled = %(is_enabled)s,
       disabled_reason = %(disabled_reason)s, updated_at = %(updated_at)s, deleted_at = %(deleted_at)s
 WHERE id = %(id)s AND version < %(version)s;

-- name: insert_secret
INSERT INTO hook.secrets (endpoint_id, command_id, sealed, is_ours, created_at)
VALUES (%(endpoint_id)s, %(command_id)s, %(sealed)s, %(is_ours)s, %(at)s)
    ON CONFLICT (endpoint_id, command_id) DO NOTHING;

-- name: expire_secrets
-- The previous secret stays valid for the grace time; older ones end now, so at most two are valid.
UPDATE hook.secrets s
   SET expires_at = CASE WHEN s.expires_at IS NULL THEN %(grace_ends_at)s ELSE %(at)s END
 WHERE s.endpoint_id = %(endpoint_id)s AND s.command_id <> %(command_id)s
   AND (s.expires_at IS NULL OR s.expires_at > %(at)s);

-- name: delete_secrets
DELETE FROM hook.secrets WHERE endpoint_id = %(endpoint_id)s;

-- name: forget_failures
-- Makes waiting deliveries due immediately: a person who changes or enables a webhook has probably repaired
-- it.
DELETE FROM hook.health WHERE endpoint_id = %(endpoint_id)s;
