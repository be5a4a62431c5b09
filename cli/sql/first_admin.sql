-- name: find_hash
SELECT hash FROM access.passwords WHERE user_id = %(user_id)s;

-- name: can_an_admin_sign_in
SELECT EXISTS (
    SELECT 1 FROM access.passwords AS password
      JOIN read.users AS person ON person.id = password.user_id
     WHERE person.role = 'admin' AND person.is_active);
