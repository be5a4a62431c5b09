-- name: insert_verification
-- A complete verification, as those that admins start in the panel (pages/panel/sql/verifications.sql).
INSERT INTO panel.verifications
       (id, started_at, started_by, position, log_end, finished_at, events, seconds, differences)
VALUES (%(id)s, now() - make_interval(secs => %(seconds)s), 'ticketing verify', %(position)s, %(position)s, now(),
        %(events)s, %(seconds)s, %(differences)s);
