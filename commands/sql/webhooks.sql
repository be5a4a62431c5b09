-- name: insert_endpoint
INSERT INTO hook.endpoints (id, version, url, event_names, owner_role, owner_auth, owner_user_id,
       owner_credential_id, is_enabled, created_at, updated_at, payload_version, payload, filter, max_per_second,
       max_in_flight, header_names)
VALUES (%(id)s, %(version)s, %(url)s, %(event_names)s, %(owner_role)s, %(owner_auth)s, %(owner_user_id)s,
       %(owner_credential_id)s, true, %(created_at)s, %(created_at)s, %(payload_version)s, %(payload)s,
       %(filter)s::jsonb, %(max_per_second)s, %(max_in_flight)s, %(header_names)s)
    ON CONFLICT (id) DO NOTHING;

-- name: update_endpoint
UPDATE hook.endpoints
   SET version = %(version)s, url = %(url)s, event_names = %(event_names)s, is_enabled = %(is_enabled)s,
       disabled_reason = %(disabled_reason)s, updated_at = %(updated_at)s, deleted_at = %(deleted_at)s,
       payload_version = %(payload_version)s, payload = %(payload)s, filter = %(filter)s::jsonb,
       max_per_second = %(max_per_second)s, max_in_flight = %(max_in_flight)s, header_names = %(header_names)s,
       headers_sealed = CASE WHEN %(deleted_at)s::timestamptz IS NULL THEN headers_sealed END
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

-- name: store_headers
UPDATE hook.endpoints SET headers_sealed = %(sealed)s WHERE id = %(id)s;

-- name: insert_limits
INSERT INTO hook.limits (endpoint_id) VALUES (%(endpoint_id)s) ON CONFLICT (endpoint_id) DO NOTHING;

-- name: insert_notice
-- A message about the webhook `id` for those other webhooks of its owner that subscribe to it. One that a key or
-- application registered hears only of those which that key or application registered.
WITH subject AS (
    SELECT * FROM hook.endpoints WHERE id = %(id)s
), receivers AS (
    SELECT e.id
      FROM subject s
      JOIN hook.endpoints e
        ON e.id <> s.id AND e.is_enabled AND e.deleted_at IS NULL AND %(name)s = ANY(e.event_names)
       AND e.owner_user_id IS NOT DISTINCT FROM s.owner_user_id
       AND (e.owner_credential_id IS NOT DISTINCT FROM s.owner_credential_id
            OR (e.owner_auth = 'session' AND e.owner_user_id IS NOT NULL))
), message AS (
    INSERT INTO hook.messages (id, event_id, name, aggregate_id, version, body)
    SELECT %(message_id)s, %(message_id)s, %(name)s, %(id)s, 0, %(body)s
     WHERE EXISTS (SELECT FROM receivers)
        ON CONFLICT (id) DO NOTHING
    RETURNING id
)
INSERT INTO hook.deliveries (endpoint_id, message_id, aggregate_id, version)
SELECT r.id, m.id, %(id)s, 0 FROM message m CROSS JOIN receivers r
    ON CONFLICT (endpoint_id, message_id) DO NOTHING;
