-- Roots that were published, or were to be: each has one link more in `nodes` while it stands here. When it
-- was seen in the DNS, and when it may go, since another one was.
DROP TABLE published_roots;
CREATE TABLE published_roots (
    root      BLOB PRIMARY KEY NOT NULL,
    held      INTEGER NOT NULL,
    published INTEGER,
    expires   INTEGER
) STRICT;

-- How publishing stands, as whoever publishes writes it down.
CREATE TABLE publication (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    record BLOB NOT NULL
) STRICT;

-- Roots of others are remembered beside what was pulled from them.
DROP TABLE remote_roots;
