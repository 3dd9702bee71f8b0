-- Nodes above the leaves of a blob; a leaf is bytes of the blob itself.
ALTER TABLE blob_blocks ADD COLUMN node BYTEA;
