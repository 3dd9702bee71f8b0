-- How often a repository's manifest was pulled, each client once an hour, and when it was last; NULL where that is not
-- known. A pull of a manifest renews the time of the indexes that list it, and of what it lists.
ALTER TABLE repository_manifests ADD COLUMN pulls BIGINT NOT NULL DEFAULT 0;
ALTER TABLE repository_manifests ADD COLUMN last_pulled BIGINT;

-- Since when pulls have been noted: of what was pulled before nobody knows when.
CREATE TABLE pull_notes (
    id    INTEGER PRIMARY KEY CHECK (id = 1),
    since BIGINT NOT NULL
);
INSERT INTO pull_notes (id, since) VALUES (1, milliseconds());
