-- Dead deliveries are counted at each check of the health and listed for operators.
CREATE INDEX deliveries_dead_idx ON hook.deliveries (id) WHERE status = 'dead';
