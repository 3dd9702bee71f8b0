-- What the audit log is filtered by, in the order in which it is read.
CREATE INDEX events_repository ON events (repository, seq) WHERE repository IS NOT NULL;
CREATE INDEX events_actor ON events (actor, seq) WHERE actor IS NOT NULL;

-- Where the events since a time begin.
CREATE INDEX events_at_seq ON events (at, seq);
DROP INDEX events_at;

-- Which user made the robot that had a reserved name: removed robots count among those that a user has made.
ALTER TABLE reserved_names ADD COLUMN maker BIGINT;
CREATE INDEX reserved_names_maker ON reserved_names (maker) WHERE maker IS NOT NULL;

-- The code by which the first administrator is made, as a hash, while there is no user.
CREATE TABLE setup_code (
    id      BIGINT PRIMARY KEY CHECK (id = 1),
    name    TEXT COLLATE "C" NOT NULL,
    hash    TEXT COLLATE "C" NOT NULL,
    created BIGINT NOT NULL
);
