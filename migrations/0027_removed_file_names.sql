-- The attached file whose name the message has, so that the name can be removed when the file is removed.
ALTER TABLE hook.messages ADD COLUMN attachment_id text;
UPDATE hook.messages
   SET attachment_id = (SELECT substr(field, length('attachments.') + 1)
                          FROM json_object_keys(convert_from(body, 'UTF8')::json #> '{data,changes}') AS field
                         WHERE field LIKE 'attachments.%' LIMIT 1)
 WHERE name = 'ticket.updated' AND position('"changes":{"attachments.'::bytea IN body) > 0;
CREATE INDEX messages_attachment_id_idx ON hook.messages (attachment_id) WHERE attachment_id IS NOT NULL;
