-- The states of tickets at every hundredth version, so that a ticket with many events is not folded from its first
-- one (infrastructure/storage/stored_snapshots.py). A cache: its rows may be deleted at any time. It is not in the
-- schema `es`, where rows can only be added. `shape` identifies the code that made the state; `event_sha256` is the
-- hash of the stored event of that version.
CREATE SCHEMA cache;
CREATE TABLE cache.snapshots (
    originator_id text NOT NULL,
    originator_version bigint NOT NULL,
    shape bytea NOT NULL,
    event_sha256 bytea NOT NULL,
    state bytea NOT NULL,
    PRIMARY KEY (originator_id, originator_version)
);

-- The comment whose text the message has, so that the text can be replaced when the comment is edited or removed.
ALTER TABLE hook.messages ADD COLUMN comment_id text;
UPDATE hook.messages SET comment_id = convert_from(body, 'UTF8')::json #>> '{data,comment,id}'
 WHERE name = 'ticket.commented';
CREATE INDEX messages_comment_id_idx ON hook.messages (comment_id) WHERE comment_id IS NOT NULL;

-- Removed files whose content is still to be deleted from the attachment store.
CREATE TABLE access.removed_files (
    attachment_id text PRIMARY KEY,
    removed_at timestamptz NOT NULL DEFAULT now()
);
