-- name: select_removed_files
SELECT attachment_id FROM access.removed_files ORDER BY removed_at LIMIT %(limit)s;

-- name: forget_removed_file
DELETE FROM access.removed_files WHERE attachment_id = %(id)s RETURNING attachment_id;
