-- name: stored_columns
SELECT attname FROM pg_attribute
 WHERE attrelid = %(table)s::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
 ORDER BY attnum;

-- name: compare_rows
-- Rows that stand in one of the two only, or differ.
SELECT concat_ws('/', {keys}), to_jsonb(l), to_jsonb(c), count(*) OVER ()
  FROM (SELECT {columns} FROM {live}) l
  FULL JOIN (SELECT {columns} FROM {copy}) c USING ({keys})
 WHERE l IS DISTINCT FROM c
 ORDER BY 1
 LIMIT %(limit)s;
