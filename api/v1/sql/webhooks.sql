-- name: list_endpoints
WITH page AS (
    SELECT * FROM hook.endpoints
     WHERE deleted_at IS NULL
       AND (%(owner)s::text IS NULL OR coalesce(owner_user_id, owner_credential_id) = %(owner)s)
       AND (%(credential)s::text IS NULL OR owner_credential_id = %(credential)s)
       AND {after}
     ORDER BY created_at DESC, id DESC
     LIMIT %(limit)s OFFSET %(offset)s
)
SELECT {total},
       p.id, p.version, p.url, p.event_names, p.is_enabled, p.disabled_reason, p.created_at, p.updated_at,
       p.owner_user_id, p.owner_credential_id, p.payload_version, p.payload, p.max_per_second, p.max_in_flight,
       p.header_names, coalesce(h.failures, 0), h.failing_since
  FROM (VALUES (1)) one LEFT JOIN page p ON true LEFT JOIN hook.health h ON h.endpoint_id = p.id
 ORDER BY p.created_at DESC, p.id DESC;

-- name: count_endpoints
(SELECT count(*) FROM hook.endpoints
  WHERE deleted_at IS NULL
    AND (%(owner)s::text IS NULL OR coalesce(owner_user_id, owner_credential_id) = %(owner)s)
    AND (%(credential)s::text IS NULL OR owner_credential_id = %(credential)s))

-- name: get_endpoint
SELECT 1, e.id, e.version, e.url, e.event_names, e.is_enabled, e.disabled_reason, e.created_at, e.updated_at,
       e.owner_user_id, e.owner_credential_id, e.payload_version, e.payload, e.max_per_second, e.max_in_flight,
       e.header_names, coalesce(h.failures, 0), h.failing_since
  FROM hook.endpoints e LEFT JOIN hook.health h ON h.endpoint_id = e.id
 WHERE e.id = %(id)s AND e.deleted_at IS NULL;

-- name: get_secret
SELECT sealed FROM hook.secrets WHERE endpoint_id = %(id)s AND command_id = %(command_id)s AND is_ours;

-- name: list_deliveries
-- Includes deliveries whose messages the owner may no longer read; the API hides their contents.
WITH page AS (
    SELECT d.* FROM hook.deliveries d JOIN hook.messages m ON m.id = d.message_id
     WHERE d.endpoint_id = %(endpoint_id)s
       AND (%(statuses)s::text[] IS NULL OR d.status = ANY(%(statuses)s))
       AND (%(names)s::text[] IS NULL OR m.name = ANY(%(names)s))
       AND {after}
     ORDER BY d.id DESC
     LIMIT %(limit)s OFFSET %(offset)s
)
SELECT {total},
       p.id, p.message_id, p.status, p.created_at, greatest(p.next_at, p.leased_until), p.finished_at, m.name, m.body,
       m.property_id, m.requester_id, m.is_internal,
       (SELECT json_agg(json_build_object('number', a.number, 'at', a.at, 'url', a.url, 'headers', a.headers,
                   'status', a.status, 'body', encode(a.response_body, 'base64'), 'error', a.error,
                   'milliseconds', a.milliseconds) ORDER BY a.number)::text
          FROM (SELECT * FROM hook.attempts WHERE delivery_id = p.id
                 ORDER BY number DESC LIMIT %(attempts)s) a)
  FROM (VALUES (1)) one LEFT JOIN page p ON true LEFT JOIN hook.messages m ON m.id = p.message_id
 ORDER BY p.id DESC;

-- name: count_deliveries
(SELECT count(*) FROM hook.deliveries d JOIN hook.messages m ON m.id = d.message_id
  WHERE d.endpoint_id = %(endpoint_id)s
    AND (%(statuses)s::text[] IS NULL OR d.status = ANY(%(statuses)s))
    AND (%(names)s::text[] IS NULL OR m.name = ANY(%(names)s)))

-- name: get_delivery
SELECT 1, p.id, p.message_id, p.status, p.created_at, greatest(p.next_at, p.leased_until), p.finished_at, m.name, m.body,
       m.property_id, m.requester_id, m.is_internal,
       (SELECT json_agg(json_build_object('number', a.number, 'at', a.at, 'url', a.url, 'headers', a.headers,
                   'status', a.status, 'body', encode(a.response_body, 'base64'), 'error', a.error,
                   'milliseconds', a.milliseconds) ORDER BY a.number)::text
          FROM (SELECT * FROM hook.attempts WHERE delivery_id = p.id
                 ORDER BY number DESC LIMIT %(attempts)s) a)
  FROM hook.deliveries p JOIN hook.messages m ON m.id = p.message_id
 WHERE p.endpoint_id = %(endpoint_id)s AND p.id = %(id)s;

-- name: redeliver
-- Does not change a delivery that a dispatcher is attempting now.
UPDATE hook.deliveries
   SET status = 'pending', failures = 0, next_at = now(), finished_at = NULL
 WHERE endpoint_id = %(endpoint_id)s AND id = %(id)s
   AND (leased_until IS NULL OR leased_until <= now() OR status <> 'pending');

-- name: recover
UPDATE hook.deliveries
   SET status = 'pending', failures = 0, next_at = now(), finished_at = NULL
 WHERE endpoint_id = %(endpoint_id)s AND status = 'dead' AND created_at >= %(since)s;

-- name: count_dead
SELECT count(*) FROM hook.deliveries
 WHERE endpoint_id = %(endpoint_id)s AND status = 'dead' AND created_at >= %(since)s;

-- name: next_due
SELECT min(greatest(next_at, leased_until)) FROM hook.deliveries
 WHERE endpoint_id = %(endpoint_id)s AND status = 'pending';

-- name: delivery_of
SELECT id FROM hook.deliveries WHERE endpoint_id = %(endpoint_id)s AND message_id = %(message_id)s;

-- name: unpause
UPDATE hook.health SET paused_until = NULL WHERE endpoint_id = %(endpoint_id)s;

-- name: event_at_or_after
SELECT notification_id, state FROM es.stored_events
 WHERE notification_id >= %(position)s ORDER BY notification_id LIMIT 1;

-- name: last_position
SELECT coalesce(max(notification_id), 0) FROM es.stored_events;
