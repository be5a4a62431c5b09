-- The times between which the events of a page occurred, so that an export of some days need not read the
-- whole log. No part of any hash, but `ticketing verify` compares them. Pages from before have none and are
-- read whenever something is looked for.
ALTER TABLE notary.pages ADD COLUMN earliest_at timestamptz, ADD COLUMN latest_at timestamptz;
