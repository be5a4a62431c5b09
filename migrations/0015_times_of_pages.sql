-- The earliest and latest time of the events of a block, so that an export of some days need not read the
-- whole log. Not part of any hash, but `ticketing verify` compares them. Older blocks have no times and are
-- always read.
ALTER TABLE notary.pages ADD COLUMN earliest_at timestamptz, ADD COLUMN latest_at timestamptz;
