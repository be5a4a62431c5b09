-- Indexes that only readers need. They are separate from tables.sql because the tables are filled much faster without
-- them: a rebuild adds them afterwards, a verification never. Run with search_path set to the schema.
-- For GET /v1/changes (projections/changes.py), which reads rows in the order of their last events.
CREATE INDEX properties_position_idx ON properties (position);
CREATE INDEX users_position_idx ON users (position);
CREATE INDEX tickets_position_idx ON tickets (position);
CREATE INDEX audit_events_left_idx ON audit_events (position) WHERE left_ids IS NOT NULL;

CREATE INDEX properties_created_at_idx ON properties (created_at, id);

CREATE INDEX users_created_at_idx ON users (created_at, id);
CREATE INDEX users_property_ids_idx ON users USING gin (property_ids);

-- For lists (projections/ticket_list.py). The columns after INCLUDE let a walk test filters without the table.
CREATE INDEX tickets_created_at_idx ON tickets (created_at, id)
    INCLUDE (updated_at, status, priority, category, property_id, assignee_id) WHERE NOT is_deleted;
CREATE INDEX tickets_updated_at_idx ON tickets (updated_at, id) INCLUDE (status) WHERE NOT is_deleted;
CREATE INDEX tickets_priority_idx ON tickets (priority_rank, id) INCLUDE (updated_at, status) WHERE NOT is_deleted;
CREATE INDEX tickets_status_idx ON tickets (status, created_at, id)
    INCLUDE (priority_rank, category, property_id, assignee_id, updated_at) WHERE NOT is_deleted;
CREATE INDEX tickets_property_id_idx ON tickets (property_id, status, created_at, id)
    INCLUDE (priority_rank, assignee_id, updated_at) WHERE NOT is_deleted;
CREATE INDEX tickets_assignee_id_idx ON tickets (assignee_id, status, created_at, id)
    INCLUDE (priority_rank, property_id) WHERE NOT is_deleted;
CREATE INDEX tickets_requester_id_idx ON tickets (requester_id, status, created_at, id)
    INCLUDE (property_id) WHERE NOT is_deleted;
CREATE INDEX tickets_unit_id_idx ON tickets (unit_id, property_id) WHERE NOT is_deleted AND unit_id IS NOT NULL;
-- Frequent tags are found by a walk, and counted in ticket_counts. As for search_documents, new entries wait in a list.
CREATE INDEX tickets_tags_idx ON tickets USING gin (tags)
    WITH (fastupdate = on, gin_pending_list_limit = 256) WHERE NOT is_deleted AND tags IS NOT NULL;
CREATE INDEX tickets_deleted_idx ON tickets (requester_id, id) WHERE is_deleted;

-- Not unique and without the version: equal keys are stored once, and a ticket has few states.
CREATE INDEX past_tickets_ticket_id_idx ON past_tickets (ticket_id);
CREATE INDEX past_tickets_requester_id_idx ON past_tickets (requester_id);
CREATE INDEX past_tickets_in_force_idx ON past_tickets (duration_bits, updated_at) INCLUDE (ended_at);

CREATE INDEX comments_ticket_id_idx ON comments (ticket_id, ticket_version);

-- New terms wait in a list, because writing many into the index together takes half the time. The projector writes the
-- list when it is full, and a search reads all of it. At the default of 4 MB a batch would then take ten times as long.
CREATE INDEX search_documents_search_idx ON search_documents USING gin (search)
    WITH (fastupdate = on, gin_pending_list_limit = 256);
CREATE INDEX search_parts_search_idx ON search_parts USING gin (search)
    WITH (fastupdate = on, gin_pending_list_limit = 256) WHERE NOT in_document;

CREATE INDEX attachments_ticket_id_idx ON attachments (ticket_id, ticket_version);

-- Every event has a row here, but few are searched for. So all terms except the subject share a BRIN index (a summary
-- of each 32 pages of the table), which adds very little work to each write.
CREATE INDEX audit_events_terms_idx ON audit_events USING brin (
    occurred_at,
    action text_bloom_ops (n_distinct_per_range = 64),
    actor_id text_bloom_ops (n_distinct_per_range = 500),
    key_id text_bloom_ops (n_distinct_per_range = 500),
    request_key int8_bloom_ops (n_distinct_per_range = 2000)
) WITH (pages_per_range = 32, autosummarize = on);
