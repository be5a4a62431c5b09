-- name: lock_chain
-- Only one transaction at a time chains or signs.
SELECT pg_advisory_xact_lock(%(key)s);

-- name: read_log_id
SELECT id FROM notary.log;

-- name: count_waiting
-- The number of events that are not chained yet, at most those of one block, and whether one is an erasure.
SELECT count(*), coalesce(bool_or(topic = 'user.erased'), false)
  FROM es.stored_events_read(%(after)s, %(limit)s, NULL);

-- name: read_waiting
SELECT notification_id, originator_id, originator_version, topic, state
  FROM es.stored_events_read(%(after)s, %(limit)s, NULL);

-- name: last_block
SELECT number, last_position, chain FROM notary.pages ORDER BY number DESC LIMIT 1;

-- name: insert_block
INSERT INTO notary.pages
       (number, first_position, last_position, events, gaps, event_marks, leaf_marks, root, chain, earliest_at, latest_at)
VALUES (%(number)s, %(first_position)s, %(last_position)s, %(events)s, %(gaps)s, %(event_marks)s, %(leaf_marks)s,
        %(root)s, %(chain)s, %(earliest_at)s, %(latest_at)s);

-- name: blocks_after
SELECT number, first_position, last_position, events, gaps, leaf_marks, event_marks, root, chain, earliest_at, latest_at
  FROM notary.pages WHERE number > %(number)s ORDER BY number LIMIT %(limit)s;

-- name: block_at
SELECT number, first_position, last_position, events, gaps, leaf_marks, event_marks, root, chain, earliest_at, latest_at
  FROM notary.pages WHERE last_position >= %(position)s ORDER BY last_position LIMIT 1;

-- name: block_numbered
SELECT number, first_position, last_position, events, gaps, leaf_marks, event_marks, root, chain, earliest_at, latest_at
  FROM notary.pages WHERE number = %(number)s;

-- name: blocks_in_window
-- The blocks that may contain events of the window.
SELECT number, first_position, last_position FROM notary.pages
 WHERE last_position >= %(first)s AND first_position <= %(last)s
   AND (latest_at >= %(since)s OR latest_at IS NULL OR %(since)s::timestamptz IS NULL)
   AND (earliest_at < %(until)s OR earliest_at IS NULL OR %(until)s::timestamptz IS NULL)
 ORDER BY number;

-- name: blocks_with_mark
-- The blocks that probably contain the event. Reads 4 kB of each block; there is no index, because proofs are rare.
SELECT number FROM notary.pages WHERE position(%(mark)s IN event_marks) > 0 ORDER BY number;

-- name: links_between
SELECT number, first_position, last_position, events, root
  FROM notary.pages WHERE number > %(after)s AND number <= %(last)s ORDER BY number;

-- name: key_in_use
SELECT id, sealed_private_key FROM notary.keys WHERE retired_at IS NULL;

-- name: insert_key
INSERT INTO notary.keys (id, public_key, sealed_private_key, made_at)
VALUES (%(id)s, %(public_key)s, %(sealed_private_key)s, %(made_at)s);

-- name: retire_key
UPDATE notary.keys SET retired_at = %(at)s, sealed_private_key = NULL WHERE id = %(id)s;

-- name: last_statement
SELECT number, line FROM notary.statements ORDER BY number DESC LIMIT 1;

-- name: last_checkpoint
SELECT line FROM notary.statements WHERE position IS NOT NULL ORDER BY number DESC LIMIT 1;

-- name: first_checkpoint_from
SELECT line FROM notary.statements WHERE position >= %(position)s ORDER BY position, number LIMIT 1;

-- name: last_checkpoint_until
SELECT line FROM notary.statements WHERE position <= %(position)s ORDER BY position DESC, number DESC LIMIT 1;

-- name: key_statements
SELECT line FROM notary.statements WHERE line LIKE '%%"kind":"key"%%' AND number < %(number)s ORDER BY number;

-- name: statements_after
SELECT number, line FROM notary.statements WHERE number > %(number)s ORDER BY number LIMIT %(limit)s;

-- name: statement_numbered
SELECT line FROM notary.statements WHERE number = %(number)s;

-- name: insert_statement
INSERT INTO notary.statements (number, position, line) VALUES (%(number)s, %(position)s, %(line)s);

-- name: read_events
SELECT notification_id, originator_id, originator_version, topic, state
  FROM es.stored_events
 WHERE notification_id > %(after)s AND notification_id <= %(last)s
 ORDER BY notification_id LIMIT %(limit)s;
