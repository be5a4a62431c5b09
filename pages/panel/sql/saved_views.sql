-- name: list_views
SELECT name, filters FROM access.saved_views WHERE user_id = %(user_id)s ORDER BY lower(name), name;

-- name: save_view
-- Returns no row if the person has too many views.
INSERT INTO access.saved_views AS v (user_id, name, filters)
SELECT %(user_id)s, %(name)s, %(filters)s
 WHERE (SELECT count(*) FROM access.saved_views WHERE user_id = %(user_id)s AND name <> %(name)s) < %(most)s
    ON CONFLICT (user_id, name) DO UPDATE SET filters = excluded.filters
RETURNING name;

-- name: remove_view
DELETE FROM access.saved_views WHERE user_id = %(user_id)s AND name = %(name)s RETURNING name;
