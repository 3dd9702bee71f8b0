-- A row stands here while a cleaning of the storage is under way, and after one was cut short.
CREATE TABLE cleaning (
    id BIGINT PRIMARY KEY CHECK (id = 1)
);

-- Random keys that all processes share.
CREATE TABLE secrets (
    name TEXT COLLATE "C" PRIMARY KEY NOT NULL,
    key  BYTEA NOT NULL
);
