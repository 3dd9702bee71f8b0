-- Every change: who did what, when and from where. `seq` is the order of the commits, and has no gaps but those of rows
-- that were removed.
CREATE TABLE events (
    seq        INTEGER PRIMARY KEY NOT NULL,
    at         INTEGER NOT NULL,
    kind       TEXT NOT NULL,
    actor      TEXT,
    address    TEXT,
    repository TEXT,
    reference  TEXT,
    digest     TEXT,
    size       INTEGER,
    detail     TEXT
) STRICT;
CREATE INDEX events_at ON events (at);

-- The last number that was given to an event.
CREATE TABLE event_counter (
    id   INTEGER PRIMARY KEY CHECK (id = 1),
    last INTEGER NOT NULL
) STRICT;
INSERT INTO event_counter (id, last) VALUES (1, 0);

-- How far each subscriber has handled the events.
CREATE TABLE subscribers (
    name   TEXT PRIMARY KEY NOT NULL,
    cursor INTEGER NOT NULL
) STRICT;

-- Whose change an entry is, and from which address it was requested.
ALTER TABLE pending_edits ADD COLUMN actor TEXT;
ALTER TABLE pending_edits ADD COLUMN address TEXT;
