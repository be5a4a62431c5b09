-- For deleting old deliveries (webhook_dispatcher/retention.py).
CREATE INDEX deliveries_finished_at_idx ON hook.deliveries (finished_at) WHERE finished_at IS NOT NULL;

-- The last position in the log whose delivery to this webhook was deleted. Events up to it may have been
-- delivered, and are never enqueued for this webhook again.
ALTER TABLE hook.endpoints ADD COLUMN purged_position bigint NOT NULL DEFAULT 0;
