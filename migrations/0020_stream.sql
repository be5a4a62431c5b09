-- What operators need to know about the followers of the log: the sessions that delay them, the topic that the
-- relay publishes to, and how far the dispatchers have read it.

-- The sessions that keep the followers of the log from reading on. There are two kinds of row:
-- * `waits` is NULL: the transaction has appended to the log and not ended, so nothing after the position `after`
--   is read (the watermark, 0001_event_log.sql);
-- * `waits` is one of the application names in `followers`: the session has a lock for which that follower waits, or
--   has locked the position of the webhook dispatchers, which skip it (FOR UPDATE SKIP LOCKED).
-- `prepared` names a prepared transaction, which has no session. SECURITY DEFINER, because the role of the processes
-- may not read the state of sessions of other roles. `since` and `state` are NULL if the owner may not either.
CREATE FUNCTION es.stalling_sessions(followers text[])
RETURNS TABLE (after bigint, waits text, pid integer, prepared text, application text, role text, client text,
               state text, since timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog AS $$
    WITH found AS (
        SELECT min(((l.classid::bigint << 32) | l.objid::bigint) & 281474976710655) AS after, NULL::text AS waits,
               l.pid, l.virtualtransaction AS transaction
          FROM pg_locks l
         WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND (l.classid::bigint >> 16) = 17747
           AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
         GROUP BY l.pid, l.virtualtransaction
        UNION ALL
        SELECT DISTINCT NULL::bigint, waiting.application_name, blocking.pid, NULL
          FROM pg_stat_activity waiting, unnest(pg_blocking_pids(waiting.pid)) AS blocking (pid)
         WHERE waiting.application_name = ANY(followers) AND waiting.datname = current_database()
           AND EXISTS (SELECT FROM pg_locks w WHERE w.pid = waiting.pid AND NOT w.granted)
        UNION ALL
        SELECT DISTINCT NULL::bigint, 'ticketing-webhook-consumer', l.pid, l.virtualtransaction
          FROM pg_locks l
         WHERE 'ticketing-webhook-consumer' = ANY(followers)
           AND l.relation = to_regclass('hook.position') AND l.mode <> 'AccessShareLock' AND l.granted
           AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    )
    SELECT f.after, f.waits, f.pid, x.gid, a.application_name, coalesce(a.usename, x.owner)::text,
           host(a.client_addr), a.state, coalesce(a.xact_start, x.prepared)
      FROM found f
      LEFT JOIN pg_stat_activity a ON a.pid = f.pid
      LEFT JOIN pg_prepared_xacts x ON f.pid IS NULL AND EXISTS (
          SELECT FROM pg_locks own
           WHERE own.locktype = 'transactionid' AND own.transactionid = x.transaction
             AND own.pid IS NULL AND own.granted AND own.virtualtransaction = f.transaction);
$$;

-- The topic with the events. `partitions` determines the partition of each key, and is recorded before the first
-- event is published; partitions that are added to the topic later stay unused. `topic_id` is Kafka's id of the topic,
-- which changes when it is deleted and created again. `offsets` has the last offset that was published to each
-- partition, or -1; NULL if that is unknown, which it is after the upgrade to this migration.
ALTER TABLE relay.position
    ADD COLUMN topic text,
    ADD COLUMN topic_id text,
    ADD COLUMN partitions integer CHECK (partitions > 0),
    ADD COLUMN offsets bigint[];

-- How far the dispatchers have read the topic: every event up to `position` (of the log) whose record is in this
-- partition has its deliveries. Stored here, so that the lag can be shown while Kafka or the dispatchers are down.
CREATE TABLE hook.partitions (
    partition integer PRIMARY KEY,
    position bigint NOT NULL
) WITH (fillfactor = 50);
