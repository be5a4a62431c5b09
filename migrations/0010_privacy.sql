-- A key for each person, under which the personal fields of their events are sealed
-- (infrastructure/keys/privacy.py). The key itself is sealed under the master key. Erasing a person destroys
-- it: sealed_key becomes NULL, and what the log holds of them can no longer be read by anyone.
CREATE SCHEMA privacy;

-- Vacuumed as soon as a row changes, so that a destroyed key does not stay behind in a dead row.
CREATE TABLE privacy.person_keys (
    person_id text PRIMARY KEY,
    sealed_key bytea,
    made_at timestamptz NOT NULL DEFAULT now(),
    erased_at timestamptz
) WITH (autovacuum_vacuum_threshold = 0, autovacuum_vacuum_scale_factor = 0);

-- The text with each of the JSON literals `given` replaced by its fellow in `instead`: for copies of
-- answers and messages that were kept as they were sent. Whole literals only, so that one person's name
-- is not cut out of another's.
CREATE FUNCTION privacy.scrub(body text, given text[], instead text[]) RETURNS text
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    FOR i IN 1 .. coalesce(array_length(given, 1), 0) LOOP
        body := replace(body, given[i], instead[i]);
    END LOOP;
    RETURN body;
END $$;

-- PostgreSQL's statistics would keep samples of the values.
ALTER TABLE access.idempotency ALTER COLUMN response_body SET STATISTICS 0;
