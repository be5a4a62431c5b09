-- name: list_audit_events
SELECT a.position, a.property_ids, e.state
  FROM (SELECT position, property_ids
          FROM read.audit_events
         WHERE {filters}
         ORDER BY position {order}
         LIMIT %(limit)s) a
  JOIN es.stored_events e ON e.notification_id = a.position
 ORDER BY a.position {order};

