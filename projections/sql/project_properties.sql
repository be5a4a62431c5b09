-- name: select_properties
SELECT {columns} FROM properties WHERE id = ANY(%(ids)s);

-- name: save_properties
INSERT INTO properties AS p ({columns})
SELECT {columns}
  FROM json_populate_recordset(NULL::properties, %(rows)s::json)
    ON CONFLICT (id) DO UPDATE
   SET {changes}
 WHERE p.version < excluded.version;

-- name: add_units
INSERT INTO units ({units})
SELECT {units}
  FROM json_populate_recordset(NULL::units, %(rows)s::json)
    ON CONFLICT DO NOTHING;

-- name: change_units
UPDATE units u
   SET external_ids = changed.external_ids
  FROM json_populate_recordset(NULL::units, %(rows)s::json) AS changed
 WHERE u.property_id = changed.property_id AND u.id = changed.id;
