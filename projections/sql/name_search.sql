-- name: find_names
-- For each word, given as patterns that a name must all match, the terms of the tickets of the properties, units and
-- people whose names contain it. At most so many of each kind: a word that matches more is too short to mean one.
WITH words AS (
    SELECT w.number, ARRAY(SELECT jsonb_array_elements_text(w.patterns)) AS patterns
      FROM jsonb_array_elements(%(words)s::jsonb) WITH ORDINALITY AS w (patterns, number)
)
SELECT w.number::integer, f.term
  FROM words w
 CROSS JOIN LATERAL (
       (SELECT '@' || p.id AS term FROM read.properties p
         WHERE p.search LIKE ALL (w.patterns) AND (%(reach)s::text[] IS NULL OR p.id = ANY(%(reach)s))
         LIMIT %(most)s)
        UNION ALL
       (SELECT '!' || u.property_id || '/' || u.id FROM read.units u
         WHERE u.search LIKE ALL (w.patterns) AND (%(reach)s::text[] IS NULL OR u.property_id = ANY(%(reach)s))
         LIMIT %(most_units)s)
        UNION ALL
       (SELECT '~' || p.id FROM read.users p
         WHERE p.search LIKE ALL (w.patterns)
           AND (%(reach)s::text[] IS NULL OR p.property_ids && %(reach)s OR p.role = 'admin')
         LIMIT %(most)s)) f;
