-- Every change: who did what, when and from where. `seq` is the order of the commits, and has no gaps but those of rows
-- that were removed.
CREATE TABLE events (
    seq        BIGINT PRIMARY KEY NOT NULL,
    at         BIGINT NOT NULL,
    kind       TEXT COLLATE "C" NOT NULL,
    actor      TEXT COLLATE "C",
    address    TEXT COLLATE "C",
    repository TEXT COLLATE "C",
    reference  TEXT COLLATE "C",
    digest     TEXT COLLATE "C",
    size       BIGINT,
    detail     TEXT COLLATE "C"
);
CREATE INDEX events_at ON events (at);

-- The last number that was given to an event.
CREATE TABLE event_counter (
    id   BIGINT PRIMARY KEY CHECK (id = 1),
    last BIGINT NOT NULL
);
INSERT INTO event_counter (id, last) VALUES (1, 0);

-- How far each subscriber has handled the events.
CREATE TABLE subscribers (
    name   TEXT COLLATE "C" PRIMARY KEY NOT NULL,
    cursor BIGINT NOT NULL
);

-- Whose change an entry is, and from which address it was requested.
ALTER TABLE pending_edits ADD COLUMN actor TEXT COLLATE "C";
ALTER TABLE pending_edits ADD COLUMN address TEXT COLLATE "C";
