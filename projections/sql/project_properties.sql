-- name: select_properties
SELECT id, version, name, street, city, state, zip, country, units_count, created_at, updated_at
  FROM properties WHERE id = ANY(%(ids)s);

-- name: save_properties
INSERT INTO properties AS p (id, version, name, street, city, state, zip, country, units_count, created_at,
                             updated_at)
SELECT id, version, name, street, city, state, zip, country, units_count, created_at, updated_at
  FROM json_populate_recordset(NULL::properties, %(rows)s::json)
    ON CONFLICT (id) DO UPDATE
   SET version = excluded.version, name = excluded.name, street = excluded.street, city = excluded.city,
       state = excluded.state, zip = excluded.zip, country = excluded.country,
       units_count = excluded.units_count, updated_at = excluded.updated_at
 WHERE p.version < excluded.version;

-- name: add_units
INSERT INTO units (property_id, id, name, created_at)
SELECT property_id, id, name, created_at
  FROM json_populate_recordset(NULL::units, %(rows)s::json)
    ON CONFLICT DO NOTHING;

-- name: rename_properties_of_tickets
UPDATE tickets t
   SET property_name = p.name, names_changed = true
  FROM properties p
 WHERE p.id = ANY(%(ids)s) AND t.property_id = p.id;
