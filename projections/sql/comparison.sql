-- name: compare_rows
-- The rows that differ, or exist in only one of the two tables. A ticket may have `names_changed` without need, when
-- a name was projected late (`ticketing parked-event retry`); clients then only load the ticket again.
SELECT count(*) OVER (), concat_ws('/', {keys}), to_jsonb(l), to_jsonb(c)
  FROM (SELECT {columns} FROM {live}) l
  FULL JOIN (SELECT {columns} FROM {copy}) c USING ({keys})
 WHERE l IS DISTINCT FROM c
   AND (to_jsonb(l) - 'names_changed' IS DISTINCT FROM to_jsonb(c) - 'names_changed'
        OR NOT (to_jsonb(l) ->> 'names_changed')::boolean)
 ORDER BY 2
 LIMIT %(limit)s;
