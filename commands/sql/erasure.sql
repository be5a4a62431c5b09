-- The statements of an erasure, in the commit of UserErased. Every table that stores a copy of personal fields,
-- or a credential of the person, has a statement here. Parameters: user_id; at; literals and replacements:
-- the JSON of all names, addresses and numbers the person ever had, and what replaces each (privacy.scrub).

-- name: take_the_time
-- An erasure is rare, and may read large tables.
SET LOCAL statement_timeout TO '120s';

-- name: destroy_key
INSERT INTO privacy.person_keys AS k (person_id, sealed_key, erased_at)
VALUES (%(user_id)s, NULL, %(at)s)
    ON CONFLICT (person_id) DO UPDATE
   SET sealed_key = NULL, erased_at = coalesce(k.erased_at, excluded.erased_at);

-- name: revoke_keys
UPDATE access.api_keys SET revoked_at = %(at)s WHERE user_id = %(user_id)s AND revoked_at IS NULL;

-- name: scrub_kept_answers
UPDATE access.idempotency
   SET response_body = convert_to(
           privacy.scrub(convert_from(response_body, 'UTF8'), %(literals)s::text[], %(replacements)s::text[]), 'UTF8')
 WHERE position(convert_to(%(user_id)s, 'UTF8') IN response_body) > 0
   AND coalesce(response_headers ->> 'content-type', 'application/json') LIKE 'application/json%%';

-- The person cannot sign in any more.
-- name: delete_password
DELETE FROM access.passwords WHERE user_id = %(user_id)s;

-- name: delete_sessions
DELETE FROM access.sessions WHERE user_id = %(user_id)s;

-- name: delete_one_time_link
DELETE FROM access.one_time_links WHERE user_id = %(user_id)s;

-- name: leave_email_address
UPDATE privacy.email_addresses SET user_ids = array_remove(user_ids, %(user_id)s)
 WHERE user_ids @> ARRAY[%(user_id)s::text];

-- name: free_email_address
DELETE FROM privacy.email_addresses WHERE user_ids = '{}';

-- name: end_oauth_grants
UPDATE access.oauth_grants SET ended_at = %(at)s WHERE user_id = %(user_id)s AND ended_at IS NULL;

-- name: delete_oauth_tokens
DELETE FROM access.oauth_tokens WHERE user_id = %(user_id)s;

-- Messages that are posted again must not contain the names. Answers of receivers may contain them too.
-- name: scrub_webhook_answers
UPDATE hook.attempts a
   SET response_body = NULL
  FROM hook.deliveries d JOIN hook.messages m ON m.id = d.message_id
 WHERE a.delivery_id = d.id AND position(convert_to(%(user_id)s, 'UTF8') IN m.body) > 0;

-- name: scrub_webhook_messages
UPDATE hook.messages
   SET body = convert_to(
           privacy.scrub(convert_from(body, 'UTF8'), %(literals)s::text[], %(replacements)s::text[]), 'UTF8')
 WHERE position(convert_to(%(user_id)s, 'UTF8') IN body) > 0;

-- name: leave_external_ids
DELETE FROM access.external_ids WHERE kind = 'user' AND object_id = %(user_id)s;

-- name: delete_saved_views
DELETE FROM access.saved_views WHERE user_id = %(user_id)s;

-- Lists that others have saved may search for the person.
-- name: scrub_saved_views
UPDATE access.saved_views
   SET filters = privacy.scrub(filters, %(literals)s::text[], %(replacements)s::text[])
 WHERE filters <> privacy.scrub(filters, %(literals)s::text[], %(replacements)s::text[]);
