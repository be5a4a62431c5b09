-- Verifications started from the admin panel, with progress and findings. In a table, so that every API
-- process can show them.
CREATE SCHEMA panel;

CREATE TABLE panel.verifications (
    id text PRIMARY KEY,
    started_at timestamptz NOT NULL,
    started_by text NOT NULL,                            -- the user's id
    position bigint NOT NULL DEFAULT 0,
    log_end bigint NOT NULL DEFAULT 0,
    finished_at timestamptz,
    events bigint,
    seconds double precision,
    differences bigint,                                  -- rows that differ from the log
    listed jsonb,                                        -- the first differences
    problem text                                         -- why it did not finish
);
CREATE INDEX verifications_started_at_idx ON panel.verifications (started_at);
