-- name: compare_rows
-- The rows that differ, or exist in only one of the two tables. A live row may have a higher `name_position`, when the
-- name was projected late (`ticketing parked-event retry`); clients then only load a ticket again.
SELECT count(*) OVER (), concat_ws('/', {keys}), to_jsonb(l), to_jsonb(c)
  FROM (SELECT {columns} FROM {live}) l
  FULL JOIN (SELECT {columns} FROM {copy}) c USING ({keys})
 WHERE l IS DISTINCT FROM c
   AND (to_jsonb(l) - 'name_position' IS DISTINCT FROM to_jsonb(c) - 'name_position'
        OR (to_jsonb(l) ->> 'name_position')::bigint < (to_jsonb(c) ->> 'name_position')::bigint)
 ORDER BY 2
 LIMIT %(limit)s;
