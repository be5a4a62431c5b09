-- name: column_types
SELECT a.atttypid
  FROM unnest(%(names)s::text[]) WITH ORDINALITY AS n (name, number)
  JOIN pg_attribute a ON a.attrelid = %(table)s::regclass AND a.attname = n.name
 ORDER BY n.number;
