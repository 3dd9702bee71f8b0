-- What the audit log is filtered by, in the order in which it is read.
CREATE INDEX events_repository ON events (repository, seq) WHERE repository IS NOT NULL;
CREATE INDEX events_actor ON events (actor, seq) WHERE actor IS NOT NULL;

-- Which user made the robot that had a reserved name: removed robots count among those that a user has made.
ALTER TABLE reserved_names ADD COLUMN maker INTEGER;
CREATE INDEX reserved_names_maker ON reserved_names (maker) WHERE maker IS NOT NULL;

-- The code by which the first administrator is made, as a hash, while there is no user.
CREATE TABLE setup_code (
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    name    TEXT NOT NULL,
    hash    TEXT NOT NULL,
    created INTEGER NOT NULL
) STRICT;
