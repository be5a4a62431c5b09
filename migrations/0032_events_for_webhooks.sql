-- Reads the next events of the log that a webhook wants, for the dispatcher that follows the log.
--
-- `names` and `topics` are pairs: the webhook event, and an event of the log that may cause it; NULL as the name of
-- one that is read for any webhook. `seen` is a position up to which the caller has read before. `handled` is the
-- stored position of the dispatchers. The result has at most `most` events up to the position `reached`, and there
-- is no other wanted event after `seen` and `handled` up to it.
--
-- VOLATILE, so each statement has its own snapshot: the webhooks are read after the watermark, so they contain every
-- webhook that was registered at or before `reached`. `scan` limits the positions that one call passes over.
CREATE FUNCTION hook.read_events(
    seen bigint, most integer, names text[], topics text[],
    OUT handled bigint, OUT reached bigint, OUT has_webhooks boolean, OUT positions bigint[], OUT states bytea[]
) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    scan CONSTANT bigint := 50000;
    watermark bigint := es.stored_events_watermark();
    start bigint;
    subscribed text[];
    wanted text[];
BEGIN
    SELECT position INTO handled FROM hook.position;
    start := greatest(seen, handled);
    SELECT coalesce(max(notification_id), 0) INTO reached FROM es.stored_events WHERE notification_id <= watermark;
    reached := greatest(start, least(reached, start + scan));
    SELECT array_agg(DISTINCT name) INTO subscribed
      FROM hook.endpoints e CROSS JOIN unnest(e.event_names) AS name
     WHERE e.is_enabled AND e.deleted_at IS NULL;
    has_webhooks := subscribed IS NOT NULL;
    IF reached = start THEN
        RETURN;
    END IF;
    SELECT array_agg(DISTINCT p.topic) INTO wanted
      FROM unnest(names, topics) AS p (name, topic)
     WHERE p.name IS NULL OR p.name = ANY(subscribed) OR 'ticket.*' = ANY(subscribed);
    SELECT array_agg(found.position ORDER BY found.position), array_agg(found.state ORDER BY found.position)
      INTO positions, states
      FROM (SELECT e.notification_id AS position, e.state
              FROM es.stored_events e
             WHERE e.notification_id > start AND e.notification_id <= reached AND e.topic = ANY(wanted)
             ORDER BY e.notification_id
             LIMIT most) AS found;
    IF cardinality(positions) = most THEN
        reached := positions[most];
    END IF;
END $$;
