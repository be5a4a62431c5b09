-- Parts of statements on the tickets `t`. Names of people are looked up by sub-selects with LIMIT: the planner does not know
-- how few rows they have, and would read all people for a join.

-- name: files
SELECT json_agg(json_build_object(
           'id', a.id, 'filename', a.filename, 'url', '', 'size', a.size_bytes,
           'content_type', a.content_type,
           'created_at', to_char(a.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'))
           ORDER BY a.ticket_version)
  FROM read.attachments a
 WHERE a.ticket_id = t.id

-- name: newest_comments
-- Because of the comparison of rows the planner follows the index backwards, also without statistics, and does not
-- read and sort all comments. The limit and the filter are parts of the text, so that the statement is planned once.
SELECT * FROM read.comments
 WHERE (ticket_id, ticket_version) > (t.id, 0)
   AND (ticket_id, ticket_version) <= (t.id, 9223372036854775807) AND {visible}
 ORDER BY ticket_id DESC, ticket_version DESC LIMIT {limit}

-- name: within_bytes
-- The newest of these comments that have at most so many bytes together.
SELECT * FROM (SELECT n.*, sum(octet_length(n.text)) OVER (ORDER BY n.ticket_version DESC) AS bytes
                 FROM ({newest}) n) n
 WHERE n.bytes <= {bytes}

-- name: comments
-- These comments, the oldest first, and the highest position of an author's name.
SELECT json_agg(json_build_object(
           'id', c.id, 'text', c.text, 'visibility', c.visibility,
           'user', json_build_object('id', c.author_id, 'name', coalesce(u.name, k.name, c.author_id)),
           'created_at', to_char(c.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
           'edited_at', to_char(c.edited_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'))
           ORDER BY c.ticket_version) AS comments,
       max(u.name_position) AS name_position
  FROM ({newest}) c
  LEFT JOIN LATERAL (SELECT name, name_position FROM read.users WHERE id = c.author_id LIMIT 1) u ON true
  LEFT JOIN LATERAL (SELECT name FROM access.services WHERE id = c.author_id LIMIT 1) k ON true

-- name: history
-- The newest events of the ticket that have at most so many bytes together, with the texts that they replaced; its state
-- before them, or before earlier events that are few, from a stored snapshot; and what is needed to show them: the
-- present names of actors and importers, the versions that have present texts of comments, the ids of files, and the replaced texts.
SELECT json_build_object(
           'first', f.version, 'before', s.state, 'events', e.events,
           'names', (SELECT json_object_agg(n.id, n.name)
                       FROM (SELECT a.id, coalesce((SELECT name FROM read.users WHERE id = a.id),
                                                   (SELECT name FROM access.services WHERE id = a.id)) AS name
                               FROM (SELECT DISTINCT unnest(e.people)) AS a (id)) n
                      WHERE n.name IS NOT NULL),
           'files', (SELECT json_agg(a.id) FROM read.attachments a WHERE a.ticket_id = t.id),
           'texts', (SELECT json_agg(c.text_version) FROM read.comments c
                      WHERE c.ticket_id = t.id AND c.text_version >= f.version),
           'replaced', (SELECT json_agg(convert_from(o.state, 'UTF8')::json)
                          FROM es.stored_events o
                         WHERE {is_auditor} AND o.originator_id = t.id AND o.originator_version = ANY(e.replaced)))
  FROM (SELECT min(w.version) AS version
          FROM (SELECT v.version, sum(v.bytes) OVER (ORDER BY v.version DESC) AS bytes
                  FROM (SELECT r.originator_version AS version,
                               octet_length(r.state) + coalesce((
                                   SELECT octet_length(o.state) FROM es.stored_events o
                                    WHERE {is_auditor} AND r.topic = ANY(%(replacing_topics)s)
                                      AND o.originator_id = t.id
                                      AND o.originator_version =
                                          (convert_from(r.state, 'UTF8')::json ->> 'replaced_version')::bigint), 0) AS bytes
                          FROM es.stored_events r
                         WHERE r.originator_id = t.id AND r.originator_version <= t.version
                         ORDER BY r.originator_version DESC LIMIT {limit}) v) w
         WHERE w.bytes <= {bytes} OR w.version = t.version) f
  LEFT JOIN LATERAL (
        SELECT c.originator_version AS version, convert_from(c.state, 'UTF8')::json AS state
          FROM cache.snapshots c
          JOIN es.stored_events o ON o.originator_id = c.originator_id AND o.originator_version = c.originator_version
         WHERE c.originator_id = t.id AND c.originator_version < f.version AND c.shape = %(snapshot_shape)s
           AND sha256(o.state) = c.event_sha256
           AND (SELECT coalesce(sum(octet_length(m.state)), 0) FROM es.stored_events m
                 WHERE m.originator_id = t.id AND m.originator_version > c.originator_version
                   AND m.originator_version < f.version) <= {bytes}
         ORDER BY c.originator_version DESC LIMIT 1) s ON true
 CROSS JOIN LATERAL (
        SELECT json_agg(v.event ORDER BY v.version) AS events,
               array_agg(DISTINCT v.event -> 'actor' ->> 'user_id')
                   || array_agg(DISTINCT v.event -> 'imported' -> 'by' ->> 'user_id') AS people,
               array_agg((v.event ->> 'replaced_version')::bigint) FILTER (WHERE v.version >= f.version) AS replaced
          FROM (SELECT originator_version AS version, convert_from(state, 'UTF8')::json AS event
                  FROM es.stored_events
                 WHERE originator_id = t.id AND originator_version <= t.version
                   AND originator_version >= coalesce(s.version + 1, f.version)) v) e
