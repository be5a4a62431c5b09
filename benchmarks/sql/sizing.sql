-- name: read_disk
-- The bytes of each part of the database. What the list does not name is in 'other tables'.
SELECT part, sum(bytes)::bigint
  FROM (SELECT CASE WHEN n.nspname = 'es' THEN 'event log'
                    WHEN n.nspname = 'read' AND c.relname IN ('audit_events') THEN 'audit trail'
                    WHEN n.nspname = 'read' AND c.relname IN ('past_tickets', 'past_texts') THEN 'past states'
                    WHEN n.nspname = 'read' AND c.relname LIKE 'search%%' THEN 'search'
                    WHEN n.nspname = 'read' THEN 'other read tables'
                    WHEN n.nspname = 'hook' THEN 'webhook deliveries'
                    WHEN n.nspname = 'notary' THEN 'proof'
                    ELSE 'other tables' END AS part,
               pg_total_relation_size(c.oid) AS bytes
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind IN ('r', 'm') AND n.nspname !~ '^(pg_|information_schema)') AS tables
 GROUP BY part ORDER BY part;
