-- Since when a repository's blob is named by no manifest of it, and since when its manifest has no tag and is in no
-- index; NULL while it is. Triggers change that in the transaction of each change, by the database's own clock.
ALTER TABLE repository_blobs ADD COLUMN unreferenced_since INTEGER;
ALTER TABLE repository_manifests ADD COLUMN untagged_since INTEGER;

-- What was there before has been so for nobody knows how long: its time begins now.
UPDATE repository_blobs SET unreferenced_since = CAST(unixepoch('subsec') * 1000 AS INTEGER)
WHERE NOT EXISTS (SELECT 1 FROM repository_blobs o
    CROSS JOIN manifest_edges e ON e.repository = o.repository AND e.target = o.digest AND e.kind <> 'subject'
    WHERE o.repository = repository_blobs.repository AND o.canonical = repository_blobs.canonical);
UPDATE repository_manifests SET untagged_since = CAST(unixepoch('subsec') * 1000 AS INTEGER)
WHERE NOT EXISTS (SELECT 1 FROM tags t
    WHERE t.repository = repository_manifests.repository AND t.canonical = repository_manifests.canonical)
AND NOT EXISTS (SELECT 1 FROM manifest_names n
    CROSS JOIN manifest_edges e ON e.repository = n.repository AND e.target = n.digest AND e.kind <> 'subject'
    WHERE n.repository = repository_manifests.repository AND n.canonical = repository_manifests.canonical);
CREATE INDEX repository_blobs_unreferenced ON repository_blobs (unreferenced_since)
    WHERE unreferenced_since IS NOT NULL;
CREATE INDEX repository_manifests_untagged ON repository_manifests (untagged_since)
    WHERE untagged_since IS NOT NULL;

CREATE TRIGGER manifest_edges_added AFTER INSERT ON manifest_edges WHEN NEW.kind <> 'subject' BEGIN
    UPDATE repository_blobs SET unreferenced_since = NULL
    WHERE +unreferenced_since IS NOT NULL AND repository = NEW.repository AND digest IN (
        SELECT o.digest FROM repository_blobs n CROSS JOIN repository_blobs o
        ON o.canonical = n.canonical AND o.repository = n.repository
        WHERE n.repository = NEW.repository AND n.digest = NEW.target);
    UPDATE repository_manifests SET untagged_since = NULL
    WHERE +untagged_since IS NOT NULL AND repository = NEW.repository AND canonical IN (
        SELECT canonical FROM manifest_names WHERE repository = NEW.repository AND digest = NEW.target);
END;
CREATE TRIGGER manifest_edges_removed AFTER DELETE ON manifest_edges WHEN OLD.kind <> 'subject' BEGIN
    UPDATE repository_blobs SET unreferenced_since = CAST(unixepoch('subsec') * 1000 AS INTEGER)
    WHERE +unreferenced_since IS NULL AND repository = OLD.repository AND digest IN (
        SELECT o.digest FROM repository_blobs n CROSS JOIN repository_blobs o
        ON o.canonical = n.canonical AND o.repository = n.repository
        WHERE n.repository = OLD.repository AND n.digest = OLD.target)
    AND NOT EXISTS (SELECT 1 FROM repository_blobs o CROSS JOIN manifest_edges e
        ON e.repository = o.repository AND e.target = o.digest AND e.kind <> 'subject'
        WHERE o.canonical = repository_blobs.canonical AND o.repository = OLD.repository);
    UPDATE repository_manifests SET untagged_since = CAST(unixepoch('subsec') * 1000 AS INTEGER)
    WHERE untagged_since IS NULL AND repository = OLD.repository AND canonical IN (
        SELECT canonical FROM manifest_names WHERE repository = OLD.repository AND digest = OLD.target)
    AND NOT EXISTS (SELECT 1 FROM tags t
        WHERE t.repository = OLD.repository AND t.canonical = repository_manifests.canonical)
    AND NOT EXISTS (SELECT 1 FROM manifest_names n
        CROSS JOIN manifest_edges e ON e.repository = n.repository AND e.target = n.digest AND e.kind <> 'subject'
        WHERE n.repository = OLD.repository AND n.canonical = repository_manifests.canonical);
END;

CREATE TRIGGER tags_pointed AFTER INSERT ON tags BEGIN
    UPDATE repository_manifests SET untagged_since = NULL
    WHERE repository = NEW.repository AND canonical = NEW.canonical AND +untagged_since IS NOT NULL;
END;
CREATE TRIGGER tags_moved AFTER UPDATE OF canonical ON tags WHEN OLD.canonical <> NEW.canonical BEGIN
    UPDATE repository_manifests SET untagged_since = NULL
    WHERE repository = NEW.repository AND canonical = NEW.canonical AND +untagged_since IS NOT NULL;
    UPDATE repository_manifests SET untagged_since = CAST(unixepoch('subsec') * 1000 AS INTEGER)
    WHERE untagged_since IS NULL AND repository = OLD.repository AND canonical = OLD.canonical
    AND NOT EXISTS (SELECT 1 FROM tags t WHERE t.repository = OLD.repository AND t.canonical = OLD.canonical)
    AND NOT EXISTS (SELECT 1 FROM manifest_names n
        CROSS JOIN manifest_edges e ON e.repository = n.repository AND e.target = n.digest AND e.kind <> 'subject'
        WHERE n.repository = OLD.repository AND n.canonical = OLD.canonical);
END;
CREATE TRIGGER tags_left AFTER DELETE ON tags BEGIN
    UPDATE repository_manifests SET untagged_since = CAST(unixepoch('subsec') * 1000 AS INTEGER)
    WHERE untagged_since IS NULL AND repository = OLD.repository AND canonical = OLD.canonical
    AND NOT EXISTS (SELECT 1 FROM tags t WHERE t.repository = OLD.repository AND t.canonical = OLD.canonical)
    AND NOT EXISTS (SELECT 1 FROM manifest_names n
        CROSS JOIN manifest_edges e ON e.repository = n.repository AND e.target = n.digest AND e.kind <> 'subject'
        WHERE n.repository = OLD.repository AND n.canonical = OLD.canonical);
END;

-- Since when no repository has a stored manifest; of one that a repository has it says nothing.
ALTER TABLE manifests ADD COLUMN unowned_since INTEGER;
UPDATE manifests SET unowned_since = CAST(unixepoch('subsec') * 1000 AS INTEGER)
WHERE NOT EXISTS (SELECT 1 FROM repository_manifests r WHERE r.canonical = manifests.digest);
CREATE TRIGGER manifests_left AFTER DELETE ON repository_manifests BEGIN
    UPDATE manifests SET unowned_since = CAST(unixepoch('subsec') * 1000 AS INTEGER) WHERE digest = OLD.canonical
    AND NOT EXISTS (SELECT 1 FROM repository_manifests r WHERE r.canonical = OLD.canonical);
END;

-- When the bytes of withdrawn content were removed that nothing needed any more: another process may have stored the
-- same a moment before, and looks here.
ALTER TABLE withdrawn ADD COLUMN forgotten_at INTEGER;

-- What the last collection came to.
CREATE TABLE collection (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    ended  INTEGER NOT NULL,
    record BLOB NOT NULL
) STRICT;

-- Whether a manifest may name layers that need not be in the registry, and so have no edges: its bytes say which. Where
-- it has escapes, it is not known.
ALTER TABLE repository_manifests ADD COLUMN has_foreign_layers INTEGER NOT NULL DEFAULT 1;
UPDATE repository_manifests SET has_foreign_layers = 0 WHERE canonical IN (
    SELECT m.digest FROM manifests m WHERE NOT (instr(m.bytes, CAST('foreign.' AS BLOB)) > 0 OR instr(m.bytes, CAST('nondistributable.' AS BLOB)) > 0
    OR instr(m.bytes, x'5c') > 0));
CREATE INDEX repository_manifests_foreign ON repository_manifests (repository) WHERE has_foreign_layers <> 0;

-- Tags that were there before have pointed where they do since nobody knows when: rebuilds of earlier versions took their
-- own time for it.
UPDATE tags SET updated = -CAST(unixepoch('subsec') * 1000 AS INTEGER);
