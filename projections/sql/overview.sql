-- name: count_tickets
-- The numbers of pairs of status and priority are those of projections/project_counts.py.
SELECT coalesce(sum(n) FILTER (WHERE assignee_id = '*' AND pair = ANY(%(open)s)), 0)::bigint,
       coalesce(sum(n) FILTER (WHERE assignee_id = '*' AND pair = ANY(%(in_progress)s)), 0)::bigint,
       coalesce(sum(n) FILTER (WHERE assignee_id = '*' AND pair = ANY(%(critical)s)), 0)::bigint,
       coalesce(sum(n) FILTER (WHERE assignee_id = ''), 0)::bigint
  FROM (SELECT c.assignee_id, pair, c.tickets[pair] AS n
          FROM read.ticket_counts c CROSS JOIN unnest(%(open)s::integer[] || %(in_progress)s::integer[]) AS pair
         WHERE c.property_id = ANY(%(properties)s) AND c.assignee_id IN ('*', '') AND c.category = '*') counted;

-- name: read_system
-- Sequence gaps after the last event do not count as lag; events that an unfinished append holds back do.
SELECT (SELECT coalesce(max(notification_id), 0) FROM es.stored_events),
       p.position,
       (SELECT count(*) FROM read.parked_events),
       r.position, r.published_at, h.position,
       (SELECT sum(behind)::bigint FROM hook.consumers WHERE seen_at > now() - interval '30 s'),
       (SELECT count(*) FROM hook.deliveries
         WHERE status = 'pending' AND next_at <= now() AND (leased_until IS NULL OR leased_until <= now())),
       (SELECT count(*) FROM hook.endpoints e LEFT JOIN hook.health f ON f.endpoint_id = e.id
         WHERE e.deleted_at IS NULL AND (f.failures > 0 OR e.disabled_reason IN ('gone', 'failing')))
  FROM read.projector_position p, relay.position r, hook.position h;

-- name: list_parked
SELECT count(*) OVER (), position, originator_id, error, parked_at
  FROM read.parked_events
 ORDER BY position
 LIMIT %(limit)s OFFSET %(offset)s;
