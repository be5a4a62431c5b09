-- The ids that objects have in other systems, at most one of each source (commands/external_ids.py). The primary key
-- makes them unique: a row commits with the event that gives the id to the object. `kind` is ticket, user, property or
-- unit; the object_id of a unit is that of its property and its own, separated by a slash.
CREATE TABLE access.external_ids (
    kind text NOT NULL,
    source text NOT NULL,
    external_id text NOT NULL,
    object_id text NOT NULL,
    PRIMARY KEY (kind, source, external_id)
);
