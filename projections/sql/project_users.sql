-- name: select_users
SELECT {columns} FROM users WHERE id = ANY(%(ids)s);

-- name: save_users
INSERT INTO users AS u ({columns})
SELECT {columns}
  FROM json_populate_recordset(NULL::users, %(rows)s::json)
    ON CONFLICT (id) DO UPDATE
   SET {changes}
 WHERE u.version < excluded.version;
