-- name: insert_comments
INSERT INTO comments ({comments})
SELECT {comments}
  FROM json_populate_recordset(NULL::comments, %(rows)s::json)
    ON CONFLICT (id) DO NOTHING;

-- name: update_comments
UPDATE comments c
   SET text = r.text, text_version = r.text_version, edited_at = r.edited_at
  FROM json_populate_recordset(NULL::comments, %(rows)s::json) r
 WHERE c.id = r.id;

-- name: delete_comments
DELETE FROM comments WHERE id = ANY(%(ids)s);
