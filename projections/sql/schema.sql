-- name: read_fingerprint
SELECT obj_description(to_regnamespace(%(schema)s), 'pg_namespace');

-- name: read_schema
-- The fingerprint with which the schema was created, and the columns of its tables without generated ones.
SELECT obj_description(n.oid, 'pg_namespace'),
       ARRAY(SELECT c.relname || '.' || a.attname
               FROM pg_class c
               JOIN pg_attribute a ON a.attrelid = c.oid
              WHERE c.relnamespace = n.oid AND c.relname = ANY(%(tables)s)
                AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '')
  FROM pg_namespace n
 WHERE n.nspname = %(schema)s;
