-- The statements that commit with the events of edited and removed comments and of removed files.

-- name: delete_answers
-- Answers of receivers may repeat the text or the name.
UPDATE hook.attempts a
   SET response_body = NULL
  FROM hook.deliveries d JOIN hook.messages m ON m.id = d.message_id
 WHERE a.delivery_id = d.id AND (m.comment_id = %(part_id)s OR m.attachment_id = %(part_id)s)
   AND a.response_body IS NOT NULL;

-- name: replace_string
UPDATE hook.messages
   SET body = convert_to(regexp_replace(convert_from(body, 'UTF8'), %(pattern)s, %(replacement)s), 'UTF8')
 WHERE comment_id = %(part_id)s OR attachment_id = %(part_id)s;

-- name: cut_string
UPDATE hook.messages
   SET body = convert_to(regexp_replace(convert_from(body, 'UTF8'), %(pattern)s, %(replacement)s), 'UTF8')
 WHERE comment_id = %(part_id)s AND octet_length(body) > %(largest)s;

-- name: note_removed_file
INSERT INTO access.removed_files (attachment_id) VALUES (%(attachment_id)s) ON CONFLICT DO NOTHING;
