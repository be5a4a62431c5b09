-- name: find_hash
-- Only of an active admin.
SELECT password.hash FROM access.passwords AS password
  JOIN read.users AS person ON person.id = password.user_id
 WHERE person.id = %(user_id)s AND person.role = 'admin' AND person.is_active;

-- name: can_an_admin_sign_in
SELECT EXISTS (
    SELECT 1 FROM access.passwords AS password
      JOIN read.users AS person ON person.id = password.user_id
     WHERE person.role = 'admin' AND person.is_active);
