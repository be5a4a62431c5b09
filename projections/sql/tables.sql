-- The read tables. The schema also has their position, so that renaming the schema of a rebuilt copy replaces rows
-- and position together. projections/rows.py has a struct for each table. Run with search_path set to the schema to
-- create. `ticketing rebuild` refills everything here from the log. These are the indexes that the projector needs;
-- readers.sql has the others.
CREATE TABLE projector_position (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    position bigint NOT NULL,
    has_counts boolean NOT NULL DEFAULT false    -- whether ticket_counts is filled, and must be kept up to date
);
INSERT INTO projector_position (position) VALUES (0);

-- Events that could not be projected, and the later events of their aggregates.
CREATE TABLE parked_events (
    position bigint PRIMARY KEY,
    originator_id text NOT NULL,
    error text NOT NULL,
    parked_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX parked_events_originator_id_idx ON parked_events (originator_id);

-- `position`, here and in users and tickets: the position of the last event, by which GET /v1/changes finds what has
-- changed. It is a new, higher position if the event was parked: clients have already read the changes up to there.
-- `name_position`, here and below: the position of the event that gave the name. It is higher if the event was parked. A ticket shows a name that is newer than its
-- version if the position of its last event is not higher.
CREATE TABLE properties (
    id text PRIMARY KEY,
    version bigint NOT NULL,
    position bigint NOT NULL,
    name text NOT NULL,
    street text NOT NULL,
    city text NOT NULL,
    state text NOT NULL,
    zip text NOT NULL,
    country text NOT NULL,
    units_count integer NOT NULL,
    external_ids jsonb,                                     -- here and below: by source; NULL: none
    search text NOT NULL,                                   -- here and below: projections/name_words.py
    name_position bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);

CREATE TABLE units (
    property_id text NOT NULL,
    id text NOT NULL,
    name text NOT NULL,
    external_ids jsonb,
    search text NOT NULL,
    name_position bigint NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (property_id, id)
);

CREATE TABLE users (
    id text PRIMARY KEY,
    version bigint NOT NULL,
    position bigint NOT NULL,
    name text NOT NULL,
    email text NOT NULL,
    phone text,
    role text NOT NULL,
    property_ids text[] NOT NULL,
    preferences jsonb NOT NULL,
    is_active boolean NOT NULL,
    external_ids jsonb,
    search text NOT NULL,
    name_position bigint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
-- No statistics: their samples would contain personal data after an erasure.
ALTER TABLE users ALTER COLUMN name SET STATISTICS 0, ALTER COLUMN email SET STATISTICS 0,
                  ALTER COLUMN phone SET STATISTICS 0, ALTER COLUMN search SET STATISTICS 0;

-- Names are not stored here but joined by the reader, so that a new name is one row (docs/decisions/0023-names.md).
CREATE TABLE tickets (
    id text PRIMARY KEY,
    version bigint NOT NULL,
    position bigint NOT NULL,
    title text NOT NULL,
    description text NOT NULL,
    status text NOT NULL,
    priority text NOT NULL,
    priority_rank smallint NOT NULL,
    category text NOT NULL,
    property_id text NOT NULL,
    unit_id text,
    requester_id text NOT NULL,
    assignee_id text,
    is_deleted boolean NOT NULL,
    comments_count integer NOT NULL,
    internal_comments_count integer NOT NULL,
    number bigint NOT NULL,                                 -- the position of ticket.opened
    tags text[],                                            -- sorted; NULL: none
    external_ids jsonb,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
) WITH (
    fillfactor = 85,
    -- Index-only scans read pages of the table that have changed since the last vacuum.
    autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.02
);
-- No statistics of the columns that lists filter by: the planner then takes every value for rare, and uses the index
-- that begins with it, with any data and also before the first ANALYZE. Lists do not depend on its other estimates.
ALTER TABLE tickets ALTER COLUMN status SET STATISTICS 0, ALTER COLUMN priority SET STATISTICS 0,
                    ALTER COLUMN priority_rank SET STATISTICS 0, ALTER COLUMN category SET STATISTICS 0,
                    ALTER COLUMN property_id SET STATISTICS 0, ALTER COLUMN unit_id SET STATISTICS 0,
                    ALTER COLUMN requester_id SET STATISTICS 0, ALTER COLUMN assignee_id SET STATISTICS 0,
                    ALTER COLUMN tags SET STATISTICS 0;

-- How many tickets that are not deleted there are (projections/project_counts.py). '*' as a property, assignee or
-- category counts all of them, '' as an assignee the unassigned tickets. ':urgent' as a category counts the tickets with
-- the tag urgent. `tickets` has a number for each pair of status and priority. Its rows are filled with the indexes of readers, and their size never changes.
CREATE TABLE ticket_counts (
    property_id text NOT NULL,
    assignee_id text NOT NULL,
    category text NOT NULL,
    tickets integer[] NOT NULL,
    PRIMARY KEY (property_id, assignee_id, category)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
ALTER TABLE ticket_counts ALTER COLUMN property_id SET STATISTICS 0, ALTER COLUMN assignee_id SET STATISTICS 0,
                          ALTER COLUMN category SET STATISTICS 0;

-- The past states of tickets, each from `updated_at` (included) until `ended_at` (excluded). The present state is only
-- in `tickets`. A state that was replaced at the same time has no row. `duration_bits` is the number of binary digits
-- of its duration in whole seconds, at most 32: a state of the value k lasted less than 2^k seconds, so that an index
-- finds the states at a time. Columns of fixed size come first, which saves padding: there is a row for most events.
-- The name of the priority is not stored.
CREATE TABLE past_tickets (
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    ended_at timestamptz NOT NULL,
    version integer NOT NULL,
    duration_bits smallint NOT NULL,
    priority_rank smallint NOT NULL,
    is_deleted boolean NOT NULL,
    ticket_id text NOT NULL,
    status text NOT NULL,
    category text NOT NULL,
    property_id text NOT NULL,
    requester_id text NOT NULL,
    unit_id text,
    assignee_id text,
    tags text[],
    external_ids jsonb
);
-- No statistics: the planner then takes every requester for rare, and uses the index.
ALTER TABLE past_tickets ALTER COLUMN requester_id SET STATISTICS 0;

-- The title and description that a ticket had before, until `ended_at`.
CREATE TABLE past_texts (
    ticket_id text NOT NULL,
    ended_at timestamptz NOT NULL,
    title text NOT NULL,
    description text NOT NULL,
    PRIMARY KEY (ticket_id, ended_at)
);

CREATE TABLE comments (
    id text PRIMARY KEY,
    ticket_id text NOT NULL,
    ticket_version bigint NOT NULL,
    text text NOT NULL,
    visibility text NOT NULL,
    author_id text NOT NULL,
    created_at timestamptz NOT NULL,
    text_version bigint NOT NULL,
    edited_at timestamptz
);

CREATE TABLE attachments (
    id text PRIMARY KEY,
    ticket_id text NOT NULL,
    ticket_version bigint NOT NULL,
    filename text NOT NULL,
    content_type text NOT NULL,
    size_bytes bigint NOT NULL,
    sha256 text NOT NULL,
    created_at timestamptz NOT NULL
);

-- The terms of the parts of tickets (projections/project_search.py): of the title and description, with an empty
-- `part_id`, of earlier ones, and of each comment. `words` is the number of positions in `search`.
CREATE TABLE search_parts (
    ticket_id text NOT NULL,
    ended_at timestamptz NOT NULL,
    part_id text COLLATE "C" NOT NULL,
    began_at timestamptz NOT NULL,
    visibility text NOT NULL,
    words integer NOT NULL,
    in_document boolean NOT NULL,
    search tsvector NOT NULL,
    PRIMARY KEY (ticket_id, ended_at, part_id)
);
-- No statistics: their samples would contain words of comments after these were removed.
ALTER TABLE search_parts ALTER COLUMN search SET STATISTICS 0;

-- The terms of all current parts of a ticket together. Those of internal comments have the weight A. Its property,
-- unit, requester, assignee, category and tags are terms too (the statement terms_of_tickets), so that the index of words
-- also answers these filters and finds the tickets of a name, which is stored elsewhere. A ticket with many or long parts has no row.
-- Counting the matches of a frequent word reads all their rows. So rows are small: the terms are stored apart from them
-- (TOAST), which PostgreSQL does only for rows of more than 2 kB. `padding`, which is compressed to 35 bytes, makes
-- them so long. The columns of fixed length come first, because those are read fastest. No index contains the copies
-- of columns that change often, so that updating a copy does not write all terms into the index again (HOT).
CREATE TABLE search_documents (
    created_at timestamptz NOT NULL,
    priority_rank smallint NOT NULL,
    is_deleted boolean NOT NULL,
    status text NOT NULL,
    ticket_id text PRIMARY KEY,
    search tsvector NOT NULL,
    padding text GENERATED ALWAYS AS (repeat(' ', 2000)) STORED
) WITH (fillfactor = 95, toast_tuple_target = 256);
ALTER TABLE search_documents
    ALTER COLUMN status SET STORAGE MAIN, ALTER COLUMN ticket_id SET STORAGE MAIN,
    ALTER COLUMN search SET STORAGE EXTERNAL,
    ALTER COLUMN search SET STATISTICS 0, ALTER COLUMN padding SET STATISTICS 0;
CREATE AGGREGATE joined (tsvector) (SFUNC = tsvector_concat, STYPE = tsvector);

-- The index over the log that auditors search: one row for each event, whose content stays in the log. `subject_key`
-- and `request_key` are hashes of ids that the event has in the log (projections/project_audit.py); the subject is what
-- the event concerns, mostly its aggregate. `property_ids` are the properties that it concerns, with those that the
-- subject has left by this event; `left_ids` are only the latter. Both are separated by spaces. `left_ids` of the event
-- ticket.requester_changed is the id of the former requester, after `~`.
CREATE TABLE audit_events (
    position bigint PRIMARY KEY,
    occurred_at timestamptz NOT NULL,
    subject_key bigint NOT NULL,
    request_key bigint NOT NULL,
    action text NOT NULL,
    actor_id text NOT NULL,
    property_ids text NOT NULL,
    key_id text,
    left_ids text
);
CREATE INDEX audit_events_subject_key_idx ON audit_events (subject_key, position);
