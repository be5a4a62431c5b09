-- Lists of tickets that people have saved in the panel. `filters` is the query string of the list as JSON, pairs of a
-- name and a value, so that an erasure finds the values.
CREATE TABLE access.saved_views (
    user_id text NOT NULL,
    name text NOT NULL,
    filters text NOT NULL,
    PRIMARY KEY (user_id, name)
);
