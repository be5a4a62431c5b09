-- The settings of webhooks. Webhooks from before have payload version 1 and none of the others.
--
-- `headers_sealed` are the custom headers as JSON, encrypted with the master key (purpose "webhook headers").
ALTER TABLE hook.endpoints
    ADD COLUMN payload_version smallint NOT NULL DEFAULT 1,
    ADD COLUMN payload text NOT NULL DEFAULT 'full',
    ADD COLUMN filter jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN max_per_second integer,
    ADD COLUMN max_in_flight integer,
    ADD COLUMN header_names text[] NOT NULL DEFAULT '{}',
    ADD COLUMN headers_sealed bytea;
