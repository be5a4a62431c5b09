-- name: compare_rows
-- The rows that differ, or exist in only one of the two tables. A live row may have a higher `position` or
-- `name_position` when its event was projected late (`ticketing parked-event retry`); clients then only load it again.
SELECT count(*) OVER (), concat_ws('/', {keys}), to_jsonb(l), to_jsonb(c)
  FROM (SELECT {columns} FROM {live}) l
  FULL JOIN (SELECT {columns} FROM {copy}) c USING ({keys})
 WHERE l IS DISTINCT FROM c
   AND (to_jsonb(l) - '{{position,name_position}}'::text[]
        IS DISTINCT FROM to_jsonb(c) - '{{position,name_position}}'::text[]
        OR (to_jsonb(l) ->> 'name_position')::bigint < (to_jsonb(c) ->> 'name_position')::bigint
        OR (to_jsonb(l) ->> 'position')::bigint < (to_jsonb(c) ->> 'position')::bigint)
 ORDER BY 2
 LIMIT %(limit)s;
