-- Verifications started from the admin panel: how far each is, and what it found. Kept so that every API
-- process can show them, whichever started them.
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
    differences bigint,                                  -- rows that are not what the log gives
    listed jsonb,                                        -- the first of them
    problem text                                         -- why it came to no end
);
CREATE INDEX verifications_started_at_idx ON panel.verifications (started_at);
