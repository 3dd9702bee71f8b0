-- A row stands here while a cleaning of the storage is under way, and after one was cut short.
CREATE TABLE cleaning (
    id INTEGER PRIMARY KEY CHECK (id = 1)
) STRICT;

-- Random keys that all processes share.
CREATE TABLE secrets (
    name TEXT PRIMARY KEY NOT NULL,
    key  BLOB NOT NULL
) STRICT, WITHOUT ROWID;
