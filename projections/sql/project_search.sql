-- name: delete_parts
-- Comments have current parts only. The whole key, so that not all parts of the ticket are read.
DELETE FROM search_parts p
 USING unnest(%(ticket_ids)s::text[], %(part_ids)s::text[]) AS r (ticket_id, part_id)
 WHERE p.ticket_id = r.ticket_id AND p.ended_at = 'infinity' AND p.part_id = r.part_id;

-- name: save_parts
-- Replaces a current part. A part with a finite end stays as it is.
INSERT INTO search_parts AS p ({parts})
SELECT r.ticket_id, r.ended_at, r.part_id, r.began_at, r.visibility, r.words,
       coalesce(r.in_document, EXISTS (SELECT FROM search_documents d WHERE d.ticket_id = r.ticket_id)),
       r.search
  FROM json_populate_recordset(NULL::search_parts, %(rows)s::json) r
    ON CONFLICT (ticket_id, ended_at, part_id) DO UPDATE
   SET visibility = excluded.visibility, words = excluded.words, search = excluded.search
 WHERE p.ended_at = 'infinity';

-- name: refresh_documents
-- Computes the documents of the tickets from their current parts. Reads the sizes of only so many parts as a document
-- may have, so that the time does not grow with the number of comments. Public parts come first, because a tsvector has
-- only the first 255 positions of a term.
WITH sizes AS MATERIALIZED (
    SELECT c.ticket_id, s.fits,
           c.ticket_id = ANY(%(opened_ids)s::text[])
           OR EXISTS (SELECT FROM search_documents d WHERE d.ticket_id = c.ticket_id) AS had_document
      FROM unnest(%(ids)s::text[]) AS c (ticket_id)
     CROSS JOIN LATERAL (
           SELECT count(*) <= %(most_parts)s AND sum(l.words) <= %(most_words)s AS fits
             FROM (SELECT words FROM search_parts
                    WHERE ticket_id = c.ticket_id AND ended_at = 'infinity'
                    ORDER BY part_id LIMIT %(most_parts)s + 1) l) s
), marked AS (
    UPDATE search_parts p
       SET in_document = t.fits
      FROM sizes t
     WHERE t.fits <> t.had_document AND p.ticket_id = t.ticket_id AND p.ended_at = 'infinity'
), dropped AS (
    DELETE FROM search_documents d USING sizes t WHERE d.ticket_id = t.ticket_id AND NOT t.fits
)
INSERT INTO search_documents AS d (ticket_id, {copied}, search)
SELECT t.id, {copied_t},
       (SELECT joined(CASE p.visibility WHEN 'internal' THEN setweight(p.search, 'A') ELSE p.search END
                      ORDER BY p.visibility DESC, p.part_id)
          FROM search_parts p
         WHERE p.ticket_id = t.id AND p.ended_at = 'infinity')
       || {terms}
  FROM sizes s
  JOIN tickets t ON t.id = s.ticket_id
 WHERE s.fits
    ON CONFLICT (ticket_id) DO UPDATE SET {changes}, search = excluded.search;

-- name: copy_to_documents
-- Copies the columns of tickets whose texts have not changed.
UPDATE search_documents d SET {changes_k} FROM tickets k WHERE k.id = ANY(%(ids)s) AND d.ticket_id = k.id;
