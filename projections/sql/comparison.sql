-- name: compare_rows
-- The rows that differ, or exist in only one of the two tables.
SELECT count(*) OVER (), concat_ws('/', {keys}), to_jsonb(l), to_jsonb(c)
  FROM (SELECT {columns} FROM {live}) l
  FULL JOIN (SELECT {columns} FROM {copy}) c USING ({keys})
 WHERE l IS DISTINCT FROM c
 ORDER BY 2
 LIMIT %(limit)s;
