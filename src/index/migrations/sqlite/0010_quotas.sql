-- Quotas by namespace, and the ledger of what each namespace has. The databases themselves change the ledger, by
-- triggers, in the transaction of each change: whatever is written, by this version or an older one beside it, counts.

-- A repository's namespace is the first component of its name.
ALTER TABLE repositories ADD COLUMN namespace TEXT
    GENERATED ALWAYS AS (substr(name, 1, instr(name || '/', '/') - 1)) VIRTUAL;
CREATE INDEX repositories_namespace ON repositories (namespace);

-- What a namespace may have at most; what is not limited has the greatest number there is. Namespaces are found by
-- their names, which are never given again.
CREATE TABLE quotas (
    namespace    TEXT PRIMARY KEY NOT NULL,
    bytes        INTEGER NOT NULL,
    unreferenced INTEGER NOT NULL,
    repositories INTEGER NOT NULL,
    tags         INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Content that a namespace has: by how many rows, as a blob under each name or as a manifest of a repository, and by
-- how many of these a manifest names it, or it is one.
CREATE TABLE namespace_contents (
    namespace TEXT NOT NULL,
    digest    TEXT NOT NULL,
    size      INTEGER NOT NULL,
    named     INTEGER NOT NULL,
    holders   INTEGER NOT NULL,
    PRIMARY KEY (namespace, digest)
) STRICT, WITHOUT ROWID;

-- The ledger: bytes that manifests name and bytes that none does, each content once; repositories that have a manifest;
-- tags.
CREATE TABLE namespace_usage (
    namespace    TEXT PRIMARY KEY NOT NULL,
    bytes        INTEGER NOT NULL DEFAULT 0,
    unreferenced INTEGER NOT NULL DEFAULT 0,
    repositories INTEGER NOT NULL DEFAULT 0,
    tags         INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

INSERT INTO namespace_contents (namespace, digest, size, named, holders)
SELECT namespace, digest, MAX(size), SUM(named), COUNT(*) FROM (
    SELECT r.namespace, b.digest, b.size, CASE WHEN rb.linked <> 0 THEN 1 ELSE 0 END AS named
    FROM repository_blobs rb JOIN repositories r ON r.id = rb.repository JOIN blobs b ON b.digest = rb.canonical
    UNION ALL
    SELECT r.namespace, m.digest, m.size, 1
    FROM repository_manifests rm JOIN repositories r ON r.id = rm.repository JOIN manifests m ON m.digest = rm.canonical
) held GROUP BY namespace, digest;
INSERT INTO namespace_usage (namespace, bytes, unreferenced, repositories, tags)
SELECT n.namespace,
    (SELECT COALESCE(SUM(c.size), 0) FROM namespace_contents c WHERE c.namespace = n.namespace AND c.named > 0),
    (SELECT COALESCE(SUM(c.size), 0) FROM namespace_contents c WHERE c.namespace = n.namespace AND c.named = 0),
    (SELECT COUNT(*) FROM repositories r WHERE r.namespace = n.namespace
     AND EXISTS (SELECT 1 FROM repository_manifests m WHERE m.repository = r.id)),
    (SELECT COUNT(*) FROM repositories r JOIN tags t ON t.repository = r.id WHERE r.namespace = n.namespace)
FROM (SELECT DISTINCT namespace FROM repositories) n;

CREATE TRIGGER namespace_contents_added AFTER INSERT ON namespace_contents BEGIN
    INSERT INTO namespace_usage (namespace, bytes, unreferenced)
    VALUES (NEW.namespace, CASE WHEN NEW.named > 0 THEN NEW.size ELSE 0 END,
            CASE WHEN NEW.named > 0 THEN 0 ELSE NEW.size END)
    ON CONFLICT (namespace) DO UPDATE SET bytes = namespace_usage.bytes + excluded.bytes,
    unreferenced = namespace_usage.unreferenced + excluded.unreferenced;
END;
CREATE TRIGGER namespace_contents_changed AFTER UPDATE OF named ON namespace_contents
WHEN (OLD.named > 0) <> (NEW.named > 0) BEGIN
    UPDATE namespace_usage SET
    bytes = bytes + CASE WHEN NEW.named > 0 THEN NEW.size ELSE -NEW.size END,
    unreferenced = unreferenced - CASE WHEN NEW.named > 0 THEN NEW.size ELSE -NEW.size END
    WHERE namespace = NEW.namespace;
END;
CREATE TRIGGER namespace_contents_removed AFTER DELETE ON namespace_contents BEGIN
    UPDATE namespace_usage SET
    bytes = bytes - CASE WHEN OLD.named > 0 THEN OLD.size ELSE 0 END,
    unreferenced = unreferenced - CASE WHEN OLD.named > 0 THEN 0 ELSE OLD.size END
    WHERE namespace = OLD.namespace;
END;

CREATE TRIGGER repository_blobs_added AFTER INSERT ON repository_blobs BEGIN
    INSERT INTO namespace_contents (namespace, digest, size, named, holders)
    SELECT r.namespace, b.digest, b.size, CASE WHEN NEW.linked <> 0 THEN 1 ELSE 0 END, 1
    FROM repositories r, blobs b WHERE r.id = NEW.repository AND b.digest = NEW.canonical
    ON CONFLICT (namespace, digest) DO UPDATE SET named = namespace_contents.named + excluded.named,
    holders = namespace_contents.holders + 1;
END;
CREATE TRIGGER repository_blobs_linked_changed AFTER UPDATE OF linked ON repository_blobs
WHEN (OLD.linked <> 0) <> (NEW.linked <> 0) BEGIN
    UPDATE namespace_contents SET named = named + CASE WHEN NEW.linked <> 0 THEN 1 ELSE -1 END
    WHERE digest = NEW.canonical AND namespace = (SELECT namespace FROM repositories WHERE id = NEW.repository);
END;
CREATE TRIGGER repository_blobs_removed AFTER DELETE ON repository_blobs BEGIN
    UPDATE namespace_contents SET holders = holders - 1,
    named = named - CASE WHEN OLD.linked <> 0 THEN 1 ELSE 0 END
    WHERE digest = OLD.canonical AND namespace = (SELECT namespace FROM repositories WHERE id = OLD.repository);
    DELETE FROM namespace_contents WHERE holders <= 0 AND digest = OLD.canonical
    AND namespace = (SELECT namespace FROM repositories WHERE id = OLD.repository);
END;

CREATE TRIGGER repository_manifests_added AFTER INSERT ON repository_manifests BEGIN
    INSERT INTO namespace_contents (namespace, digest, size, named, holders)
    SELECT r.namespace, m.digest, m.size, 1, 1
    FROM repositories r, manifests m WHERE r.id = NEW.repository AND m.digest = NEW.canonical
    ON CONFLICT (namespace, digest) DO UPDATE SET named = namespace_contents.named + 1,
    holders = namespace_contents.holders + 1;
    UPDATE namespace_usage SET repositories = repositories + 1
    WHERE namespace = (SELECT namespace FROM repositories WHERE id = NEW.repository)
    AND NOT EXISTS (SELECT 1 FROM repository_manifests m
                    WHERE m.repository = NEW.repository AND m.canonical <> NEW.canonical);
END;
CREATE TRIGGER repository_manifests_removed AFTER DELETE ON repository_manifests BEGIN
    UPDATE namespace_contents SET named = named - 1, holders = holders - 1
    WHERE digest = OLD.canonical AND namespace = (SELECT namespace FROM repositories WHERE id = OLD.repository);
    DELETE FROM namespace_contents WHERE holders <= 0 AND digest = OLD.canonical
    AND namespace = (SELECT namespace FROM repositories WHERE id = OLD.repository);
    UPDATE namespace_usage SET repositories = repositories - 1
    WHERE namespace = (SELECT namespace FROM repositories WHERE id = OLD.repository)
    AND NOT EXISTS (SELECT 1 FROM repository_manifests m WHERE m.repository = OLD.repository);
END;

CREATE TRIGGER tags_added AFTER INSERT ON tags BEGIN
    UPDATE namespace_usage SET tags = tags + 1
    WHERE namespace = (SELECT namespace FROM repositories WHERE id = NEW.repository);
END;
CREATE TRIGGER tags_removed AFTER DELETE ON tags BEGIN
    UPDATE namespace_usage SET tags = tags - 1
    WHERE namespace = (SELECT namespace FROM repositories WHERE id = OLD.repository);
END;
