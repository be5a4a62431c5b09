-- A key for each person, which encrypts the personal fields of their events
-- (infrastructure/keys/privacy.py). The key itself is encrypted with the master key. Erasing a person sets
-- sealed_key to NULL: their fields in the log cannot be decrypted any more.
CREATE SCHEMA privacy;

-- Vacuumed as soon as a row changes, so that a destroyed key does not stay in a dead row.
CREATE TABLE privacy.person_keys (
    person_id text PRIMARY KEY,
    sealed_key bytea,
    made_at timestamptz NOT NULL DEFAULT now(),
    erased_at timestamptz
) WITH (autovacuum_vacuum_threshold = 0, autovacuum_vacuum_scale_factor = 0);

-- Returns the text with each JSON literal of `given` replaced by the one at the same index of `instead`. For
-- stored copies of answers and messages. Replaces whole literals only: a name within another name stays.
CREATE FUNCTION privacy.scrub(body text, given text[], instead text[]) RETURNS text
LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    FOR i IN 1 .. coalesce(array_length(given, 1), 0) LOOP
        body := replace(body, given[i], instead[i]);
    END LOOP;
    RETURN body;
END $$;

-- No statistics: they would contain samples of the values.
ALTER TABLE access.idempotency ALTER COLUMN response_body SET STATISTICS 0;
