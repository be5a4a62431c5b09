-- name: terms_of_tickets
-- The terms, apart from words, of a ticket `t`; their first characters are in projections/search_terms.py.
array_to_tsvector(
    ARRAY['@' || t.property_id, '#' || t.category, '~' || t.requester_id]
    || CASE WHEN t.unit_id IS NULL THEN '{}'::text[] ELSE ARRAY['!' || t.property_id || '/' || t.unit_id] END
    || CASE WHEN t.assignee_id IS NULL THEN '{}'::text[] ELSE ARRAY['~' || t.assignee_id] END
    || ARRAY(SELECT ':' || tag FROM unnest(t.tags) AS tag))
