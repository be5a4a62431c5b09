-- name: select_refusal_of_writes
-- Why new sessions cannot write; NULL if they can. Settings of a role and a database take effect in new sessions;
-- those of a role in a database take precedence over those of a role, and these over those of a database.
SELECT CASE
       WHEN pg_is_in_recovery() THEN 'recovery'
       WHEN current_setting('transaction_read_only')::boolean THEN 'read-only'
       WHEN (SELECT split_part(setting, '=', 2)::boolean
               FROM pg_db_role_setting, unnest(setconfig) AS s (setting)
              WHERE setting LIKE 'default_transaction_read_only=%'
                AND setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
                AND setrole IN (0, (SELECT oid FROM pg_roles WHERE rolname = session_user))
              ORDER BY setrole <> 0 DESC, setdatabase <> 0 DESC LIMIT 1) THEN 'read-only'
       END;

-- name: select_state
-- Sequence gaps, which rolled back appends and crashes leave, count as lag between events, but not after the last
-- event, because no follower could reach those positions. Events that an unfinished append of another session holds
-- back count too.
WITH log AS (SELECT coalesce(max(notification_id), 0) AS reached FROM es.stored_events)
SELECT log.reached - position AS lag,
       (SELECT count(*) FROM read.parked_events) AS parked,
       (SELECT log.reached - r.position FROM relay.position r) AS unpublished,
       -- Counted up to a limit, so that the check is fast during a backlog.
       (SELECT count(*) FROM (SELECT FROM hook.deliveries d JOIN hook.endpoints e ON e.id = d.endpoint_id
                               WHERE d.status = 'pending' AND d.next_at <= now()
                                 AND (d.leased_until IS NULL OR d.leased_until <= now())
                                 AND e.is_enabled AND e.deleted_at IS NULL LIMIT 10000) due) AS due,
       (SELECT count(*) FROM hook.health h JOIN hook.endpoints e ON e.id = h.endpoint_id
         WHERE e.deleted_at IS NULL) AS failing,
       (SELECT count(*) FROM (SELECT FROM hook.deliveries WHERE status = 'dead' LIMIT 10000) dead) AS dead,
       (SELECT count(*) FROM hook.dead_letters) AS dead_letters
  FROM read.projector_position, log;
