-- name: claim
-- Fails with a unique violation if somebody has the address.
INSERT INTO privacy.email_addresses (address_hmac, user_ids) VALUES (%(address_hmac)s, ARRAY[%(user_id)s::text]);

-- name: leave
UPDATE privacy.email_addresses SET user_ids = array_remove(user_ids, %(user_id)s)
 WHERE address_hmac = %(address_hmac)s;

-- name: free
-- Runs after `leave`, which waits for the same row: of several people who leave an address, the last one frees it.
DELETE FROM privacy.email_addresses WHERE address_hmac = %(address_hmac)s AND user_ids = '{}';

-- name: is_filled
SELECT EXISTS (SELECT FROM privacy.email_addresses_filled);

-- name: lock
LOCK TABLE privacy.email_addresses IN EXCLUSIVE MODE;

-- name: fill
INSERT INTO privacy.email_addresses AS taken (address_hmac, user_ids)
SELECT given.address_hmac, array_agg(given.user_id ORDER BY given.number)
  FROM unnest(%(hashes)s::bytea[], %(user_ids)s::text[]) WITH ORDINALITY AS given (address_hmac, user_id, number)
 GROUP BY given.address_hmac
    ON CONFLICT (address_hmac) DO UPDATE
   SET user_ids = taken.user_ids || (SELECT coalesce(array_agg(one), '{}') FROM unnest(excluded.user_ids) AS one
                                      WHERE one <> ALL (taken.user_ids));

-- name: mark_filled
INSERT INTO privacy.email_addresses_filled DEFAULT VALUES ON CONFLICT DO NOTHING;

-- name: doubles
-- Everyone who has the same address as somebody else, by address and in the order of registration.
SELECT person.email, person.id, person.name, person.role, person.is_active
  FROM privacy.email_addresses AS taken,
       unnest(taken.user_ids) WITH ORDINALITY AS holder (user_id, number)
  JOIN read.users AS person ON person.id = holder.user_id
 WHERE cardinality(taken.user_ids) > 1
 ORDER BY taken.address_hmac, holder.number;
