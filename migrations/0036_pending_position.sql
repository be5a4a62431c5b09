-- The position of the caller's last change that the read tables did not show in time; NULL if there is none. It is in
-- this table because each request reads its row anyway, so that all workers and hosts know it without another look-up.
ALTER TABLE access.rate_windows ADD COLUMN pending_position bigint;
