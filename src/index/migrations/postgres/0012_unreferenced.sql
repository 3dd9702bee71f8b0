-- Since when a repository's blob is named by no manifest of it, and since when its manifest has no tag and is in no
-- index; NULL while it is. Triggers change that in the transaction of each change, by the database's own clock: also
-- where an older version writes beside this one.
CREATE FUNCTION milliseconds() RETURNS BIGINT LANGUAGE sql VOLATILE AS $$
    SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)
$$;

ALTER TABLE repository_blobs ADD COLUMN unreferenced_since BIGINT;
ALTER TABLE repository_manifests ADD COLUMN untagged_since BIGINT;

-- What was there before has been so for nobody knows how long: its time begins now.
UPDATE repository_blobs SET unreferenced_since = milliseconds()
WHERE NOT EXISTS (SELECT 1 FROM repository_blobs o
    JOIN manifest_edges e ON e.repository = o.repository AND e.target = o.digest AND e.kind <> 'subject'
    WHERE o.repository = repository_blobs.repository AND o.canonical = repository_blobs.canonical);
UPDATE repository_manifests SET untagged_since = milliseconds()
WHERE NOT EXISTS (SELECT 1 FROM tags t
    WHERE t.repository = repository_manifests.repository AND t.canonical = repository_manifests.canonical)
AND NOT EXISTS (SELECT 1 FROM manifest_names n
    JOIN manifest_edges e ON e.repository = n.repository AND e.target = n.digest AND e.kind <> 'subject'
    WHERE n.repository = repository_manifests.repository AND n.canonical = repository_manifests.canonical);
-- What an older version inserts has its time, too.
ALTER TABLE repository_blobs ALTER COLUMN unreferenced_since SET DEFAULT milliseconds();
ALTER TABLE repository_manifests ALTER COLUMN untagged_since SET DEFAULT milliseconds();
CREATE INDEX repository_blobs_unreferenced ON repository_blobs (unreferenced_since)
    WHERE unreferenced_since IS NOT NULL;
CREATE INDEX repository_manifests_untagged ON repository_manifests (untagged_since)
    WHERE untagged_since IS NOT NULL;

CREATE FUNCTION note_referenced() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    -- The ledger comes before any other row of the namespace.
    PERFORM 1 FROM namespace_usage WHERE namespace IN (
        SELECT r.namespace FROM added e JOIN repositories r ON r.id = e.repository) FOR UPDATE;
    UPDATE repository_blobs b SET unreferenced_since = NULL FROM (
        SELECT DISTINCT o.repository, o.canonical FROM added e
        JOIN repository_blobs o ON o.repository = e.repository AND o.digest = e.target
        WHERE e.kind <> 'subject') named
    WHERE b.repository = named.repository AND b.canonical = named.canonical AND b.unreferenced_since IS NOT NULL;
    UPDATE repository_manifests m SET untagged_since = NULL FROM (
        SELECT DISTINCT n.repository, n.canonical FROM added e
        JOIN manifest_names n ON n.repository = e.repository AND n.digest = e.target
        WHERE e.kind <> 'subject') named
    WHERE m.repository = named.repository AND m.canonical = named.canonical AND m.untagged_since IS NOT NULL;
    RETURN NULL;
END $$;
CREATE TRIGGER manifest_edges_added AFTER INSERT ON manifest_edges REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION note_referenced();

-- Tells whether a tag or an index of the repository names its manifest.
CREATE FUNCTION is_manifest_named(of_repository BIGINT, manifest TEXT) RETURNS BOOLEAN LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT 1 FROM tags t WHERE t.repository = of_repository AND t.canonical = manifest)
    OR EXISTS (SELECT 1 FROM manifest_names n
        JOIN manifest_edges e ON e.repository = n.repository AND e.target = n.digest AND e.kind <> 'subject'
        WHERE n.repository = of_repository AND n.canonical = manifest)
$$;

CREATE FUNCTION note_unreferenced() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM namespace_usage WHERE namespace IN (
        SELECT r.namespace FROM gone e JOIN repositories r ON r.id = e.repository) FOR UPDATE;
    UPDATE repository_blobs b SET unreferenced_since = milliseconds() FROM (
        SELECT DISTINCT o.repository, o.canonical FROM gone e
        JOIN repository_blobs o ON o.repository = e.repository AND o.digest = e.target
        WHERE e.kind <> 'subject') named
    WHERE b.repository = named.repository AND b.canonical = named.canonical AND b.unreferenced_since IS NULL
    AND NOT EXISTS (SELECT 1 FROM repository_blobs o
        JOIN manifest_edges e ON e.repository = o.repository AND e.target = o.digest AND e.kind <> 'subject'
        WHERE o.repository = b.repository AND o.canonical = b.canonical);
    UPDATE repository_manifests m SET untagged_since = milliseconds() FROM (
        SELECT DISTINCT n.repository, n.canonical FROM gone e
        JOIN manifest_names n ON n.repository = e.repository AND n.digest = e.target
        WHERE e.kind <> 'subject') named
    WHERE m.repository = named.repository AND m.canonical = named.canonical AND m.untagged_since IS NULL
    AND NOT is_manifest_named(m.repository, m.canonical);
    RETURN NULL;
END $$;
CREATE TRIGGER manifest_edges_removed AFTER DELETE ON manifest_edges REFERENCING OLD TABLE AS gone
FOR EACH STATEMENT EXECUTE FUNCTION note_unreferenced();

CREATE FUNCTION note_tag() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'DELETE' THEN
        UPDATE repository_manifests SET untagged_since = NULL
        WHERE repository = NEW.repository AND canonical = NEW.canonical AND untagged_since IS NOT NULL;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        UPDATE repository_manifests SET untagged_since = milliseconds()
        WHERE repository = OLD.repository AND canonical = OLD.canonical AND untagged_since IS NULL
        AND NOT is_manifest_named(OLD.repository, OLD.canonical);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER tags_pointed AFTER INSERT OR DELETE OR UPDATE OF canonical ON tags
FOR EACH ROW EXECUTE FUNCTION note_tag();

-- Since when no repository has a stored manifest; of one that a repository has it says nothing.
ALTER TABLE manifests ADD COLUMN unowned_since BIGINT;
UPDATE manifests SET unowned_since = milliseconds()
WHERE NOT EXISTS (SELECT 1 FROM repository_manifests r WHERE r.canonical = manifests.digest);
ALTER TABLE manifests ALTER COLUMN unowned_since SET DEFAULT milliseconds();
CREATE FUNCTION note_unowned() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    UPDATE manifests SET unowned_since = milliseconds() WHERE digest = OLD.canonical
    AND NOT EXISTS (SELECT 1 FROM repository_manifests r WHERE r.canonical = OLD.canonical);
    RETURN NULL;
END $$;
CREATE TRIGGER manifests_left AFTER DELETE ON repository_manifests FOR EACH ROW EXECUTE FUNCTION note_unowned();

-- When the bytes of withdrawn content were removed that nothing needed any more: another process may have stored the
-- same a moment before, and looks here.
ALTER TABLE withdrawn ADD COLUMN forgotten_at BIGINT;

-- What the last collection came to.
CREATE TABLE collection (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    ended  BIGINT NOT NULL,
    record BYTEA NOT NULL
);

-- Whether a manifest may name layers that need not be in the registry, and so have no edges: its bytes say which. Where
-- it has escapes, it is not known.
ALTER TABLE repository_manifests ADD COLUMN has_foreign_layers INTEGER NOT NULL DEFAULT 1;
UPDATE repository_manifests SET has_foreign_layers = 0 WHERE canonical IN (
    SELECT m.digest FROM manifests m WHERE NOT (position('foreign.'::BYTEA IN m.bytes) > 0 OR position('nondistributable.'::BYTEA IN m.bytes) > 0
    OR position('\x5c'::BYTEA IN m.bytes) > 0));
CREATE INDEX repository_manifests_foreign ON repository_manifests (repository) WHERE has_foreign_layers <> 0;

-- Tags that were there before have pointed where they do since nobody knows when: rebuilds of earlier versions took their
-- own time for it.
UPDATE tags SET updated = -milliseconds();
