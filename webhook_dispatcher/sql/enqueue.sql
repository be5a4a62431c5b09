-- name: select_endpoints
-- The webhooks with these ids; with `ids` NULL, those that may get new messages. `has_access` is true for a
-- signed-in user who is not erased, and with the scope tickets:read for: a key that is neither revoked nor
-- expired; an application that is not revoked and, if it acts for a user, has a valid token of that user. It is
-- false for a deactivated user.
SELECT e.id, e.url, e.event_names, first.notification_id, e.purged_position, coalesce(h.failures, 0),
       e.owner_role, e.owner_auth, e.owner_user_id, e.owner_credential_id,
       coalesce(k.role, c.role), coalesce(k.property_ids, c.property_ids),
       coalesce(NOT EXISTS (SELECT FROM access.deactivated_people AS inactive WHERE inactive.user_id = e.owner_user_id)
                AND CASE
           WHEN e.owner_auth = 'api_key' THEN
                k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())
                AND 'tickets:read' = ANY(k.scopes)
           WHEN e.owner_auth = 'oauth' AND e.owner_user_id IS NULL THEN
                c.revoked_at IS NULL AND 'tickets:read' = ANY(c.scopes)
           WHEN e.owner_auth = 'oauth' THEN
                c.revoked_at IS NULL AND EXISTS (
                    SELECT FROM access.oauth_tokens t
                     WHERE t.user_id = e.owner_user_id AND t.client_id = c.id AND t.expires_at > now()
                       AND 'tickets:read' = ANY(t.scopes))
           ELSE NOT EXISTS (
                    SELECT FROM privacy.person_keys p
                     WHERE p.person_id = e.owner_user_id AND p.erased_at IS NOT NULL)
       END, false),
       u.role, u.property_ids,
       ARRAY(SELECT s.sealed FROM hook.secrets s
              WHERE s.endpoint_id = e.id AND (s.expires_at IS NULL OR s.expires_at > now())
              ORDER BY s.expires_at DESC NULLS FIRST),
       e.payload_version, e.payload, e.filter::text, e.headers_sealed, e.version > 1
  FROM hook.endpoints e
  JOIN es.stored_events first ON first.originator_id = e.id AND first.originator_version = 1
  LEFT JOIN hook.health h ON h.endpoint_id = e.id
  LEFT JOIN access.api_keys k ON e.owner_auth = 'api_key' AND k.id = e.owner_credential_id
  LEFT JOIN access.oauth_clients c ON e.owner_auth = 'oauth' AND c.id = e.owner_credential_id
  LEFT JOIN read.users u ON u.id = e.owner_user_id
 WHERE CASE WHEN %(ids)s::text[] IS NULL THEN e.is_enabled AND e.deleted_at IS NULL
            ELSE e.id = ANY(%(ids)s) END;

-- name: hold_endpoint
SELECT FROM hook.endpoints WHERE id = %(id)s FOR SHARE;

-- name: select_histories
-- The events of several tickets, for each after the version `after` and up to the version `up_to`.
SELECT e.originator_id, e.notification_id, e.state
  FROM unnest(%(ids)s::text[], %(after)s::bigint[], %(up_to)s::bigint[]) AS w (id, after, up_to)
  JOIN es.stored_events e
    ON e.originator_id = w.id AND e.originator_version > w.after AND e.originator_version <= w.up_to
 ORDER BY e.originator_id, e.originator_version;

-- name: select_names
SELECT id, name FROM read.properties WHERE id = ANY(%(ids)s)
UNION ALL
SELECT id, name FROM access.services WHERE id = ANY(%(ids)s)
UNION ALL
SELECT id, name FROM read.users WHERE id = ANY(%(ids)s)
UNION ALL
SELECT property_id || '/' || id, name FROM read.units
 WHERE (property_id, id) IN (SELECT * FROM unnest(%(unit_properties)s::text[], %(unit_ids)s::text[]));

-- name: select_later_texts
-- The texts of those comments that the read tables show with another text than the event of that version; NULL for a
-- comment that was removed.
SELECT w.id, c.text
  FROM unnest(%(ids)s::text[], %(ticket_ids)s::text[], %(versions)s::bigint[]) AS w (id, ticket_id, version)
  JOIN read.tickets t ON t.id = w.ticket_id AND t.version >= w.version
  LEFT JOIN read.comments c ON c.id = w.id
 WHERE c.id IS NULL OR c.text_version > w.version;

-- name: select_removed_files
-- Those files that the read tables do not show, although they have the event of that version.
SELECT w.id
  FROM unnest(%(ids)s::text[], %(ticket_ids)s::text[], %(versions)s::bigint[]) AS w (id, ticket_id, version)
  JOIN read.tickets t ON t.id = w.ticket_id AND t.version >= w.version
  LEFT JOIN read.attachments a ON a.id = w.id
 WHERE a.id IS NULL;

-- name: insert_messages
-- Locks a message that exists, and sets the time of an old one to now: it must not be purged before its new
-- delivery.
INSERT INTO hook.messages AS old (id, event_id, name, aggregate_id, version, position, property_id, requester_id,
       is_internal, comment_id, attachment_id, body, traceparent)
SELECT * FROM unnest(%(id)s::text[], %(event_id)s::text[], %(name)s::text[], %(aggregate_id)s::text[],
       %(version)s::bigint[], %(position)s::bigint[], %(property_id)s::text[], %(requester_id)s::text[],
       %(is_internal)s::boolean[], %(comment_id)s::text[], %(attachment_id)s::text[],
       %(body)s::bytea[], %(traceparent)s::text[])
    ON CONFLICT (id) DO UPDATE SET created_at = now() WHERE old.created_at < now() - interval '1 day';

-- name: insert_deliveries
-- `messages` is a list of messages, each with the ids of the webhooks that get it.
INSERT INTO hook.deliveries (endpoint_id, message_id, aggregate_id, version)
SELECT e.id, m.id, m.aggregate_id, m.version
  FROM json_to_recordset(%(messages)s::json) AS m (id text, aggregate_id text, version bigint, endpoint_ids text[])
 CROSS JOIN LATERAL unnest(m.endpoint_ids) AS e (id)
    ON CONFLICT (endpoint_id, message_id) DO NOTHING;

-- name: select_existing
SELECT d.endpoint_id, d.message_id
  FROM unnest(%(endpoint_ids)s::text[], %(message_ids)s::text[]) AS w (endpoint_id, message_id)
  JOIN hook.deliveries d USING (endpoint_id, message_id);

-- name: lock_position
SELECT position FROM hook.position FOR UPDATE SKIP LOCKED;

-- name: save_position
UPDATE hook.position SET position = %(position)s;

-- name: pass_events
-- Stores the position, unless another dispatcher handles a batch or the stored position is higher.
UPDATE hook.position SET position = %(position)s
 WHERE id IN (SELECT id FROM hook.position WHERE position < %(position)s FOR UPDATE SKIP LOCKED);

-- name: select_subscribed
SELECT DISTINCT name
  FROM hook.endpoints e CROSS JOIN unnest(e.event_names) AS name
 WHERE e.is_enabled AND e.deleted_at IS NULL;

-- name: read_events
SELECT * FROM hook.read_events(%(seen)s, %(most)s, %(names)s, %(topics)s);

-- name: insert_dead_letter
INSERT INTO hook.dead_letters (topic, partition, record_offset, key, value, headers, error)
VALUES (%(topic)s, %(partition)s, %(offset)s, %(key)s, %(value)s, %(headers)s, %(error)s)
    ON CONFLICT (topic, partition, record_offset) DO NOTHING;
