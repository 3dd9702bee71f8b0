-- Quotas by namespace, and the ledger of what each namespace has. The databases themselves change the ledger, by
-- triggers, in the transaction of each change: whatever is written, by this version or an older one beside it, counts.

-- A repository's namespace is the first component of its name.
ALTER TABLE repositories ADD COLUMN namespace TEXT COLLATE "C"
    GENERATED ALWAYS AS (split_part(name, '/', 1)) STORED;
CREATE INDEX repositories_namespace ON repositories (namespace);

-- What a namespace may have at most; what is not limited has the greatest number there is. Namespaces are found by
-- their names, which are never given again.
CREATE TABLE quotas (
    namespace    TEXT COLLATE "C" PRIMARY KEY NOT NULL,
    bytes        BIGINT NOT NULL,
    unreferenced BIGINT NOT NULL,
    repositories BIGINT NOT NULL,
    tags         BIGINT NOT NULL
);

-- Content that a namespace has: by how many rows, as a blob under each name or as a manifest of a repository, and by
-- how many of these a manifest names it, or it is one.
CREATE TABLE namespace_contents (
    namespace TEXT COLLATE "C" NOT NULL,
    digest    TEXT COLLATE "C" NOT NULL,
    size      BIGINT NOT NULL,
    named     BIGINT NOT NULL,
    holders   BIGINT NOT NULL,
    PRIMARY KEY (namespace, digest)
);

-- The ledger: bytes that manifests name and bytes that none does, each content once; repositories that have a manifest;
-- tags.
CREATE TABLE namespace_usage (
    namespace    TEXT COLLATE "C" PRIMARY KEY NOT NULL,
    bytes        BIGINT NOT NULL DEFAULT 0,
    unreferenced BIGINT NOT NULL DEFAULT 0,
    repositories BIGINT NOT NULL DEFAULT 0,
    tags         BIGINT NOT NULL DEFAULT 0
);

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

-- Adds to the ledger of a repository's namespace, and so keeps all others from it until the transaction ends: always
-- before anything else of the namespace is changed, so that two transactions never wait for each other.
CREATE FUNCTION add_to_usage(of_repository BIGINT, more_repositories BIGINT, more_tags BIGINT) RETURNS TEXT
LANGUAGE plpgsql AS $$
DECLARE
    its_namespace TEXT;
BEGIN
    SELECT namespace INTO its_namespace FROM repositories WHERE id = of_repository;
    UPDATE namespace_usage SET repositories = repositories + more_repositories, tags = tags + more_tags
    WHERE namespace = its_namespace;
    IF NOT FOUND THEN
        INSERT INTO namespace_usage (namespace, repositories, tags)
        VALUES (its_namespace, more_repositories, more_tags)
        ON CONFLICT (namespace) DO UPDATE SET repositories = namespace_usage.repositories + excluded.repositories,
        tags = namespace_usage.tags + excluded.tags;
    END IF;
    RETURN its_namespace;
END $$;

-- Counts content of a namespace whose ledger is this transaction's: in how many rows more, or fewer, it stands, and in
-- how many of these it is named.
CREATE FUNCTION count_content(of_namespace TEXT, content TEXT, bytes_of_it BIGINT, more_named BIGINT, more_holders BIGINT)
RETURNS VOID LANGUAGE plpgsql AS $$
DECLARE
    before namespace_contents%ROWTYPE;
    now_named BIGINT;
    now_holders BIGINT;
BEGIN
    SELECT * INTO before FROM namespace_contents WHERE namespace = of_namespace AND digest = content;
    IF NOT FOUND THEN
        before.size := bytes_of_it;
        before.named := 0;
        before.holders := 0;
    END IF;
    now_named := before.named + more_named;
    now_holders := before.holders + more_holders;
    IF now_holders <= 0 THEN
        DELETE FROM namespace_contents WHERE namespace = of_namespace AND digest = content;
    ELSIF before.holders > 0 THEN
        UPDATE namespace_contents SET named = now_named, holders = now_holders
        WHERE namespace = of_namespace AND digest = content;
    ELSE
        INSERT INTO namespace_contents (namespace, digest, size, named, holders)
        VALUES (of_namespace, content, before.size, now_named, now_holders);
    END IF;
    UPDATE namespace_usage SET
    bytes = bytes + before.size
        * ((now_holders > 0 AND now_named > 0)::INT - (before.holders > 0 AND before.named > 0)::INT),
    unreferenced = unreferenced + before.size
        * ((now_holders > 0 AND now_named <= 0)::INT - (before.holders > 0 AND before.named <= 0)::INT)
    WHERE namespace = of_namespace;
END $$;

CREATE FUNCTION count_repository_blob() RETURNS TRIGGER LANGUAGE plpgsql AS $$
DECLARE
    before BIGINT := 0;
    after BIGINT := 0;
BEGIN
    IF TG_OP = 'INSERT' THEN
        after := (NEW.linked <> 0)::INT;
        PERFORM count_content(add_to_usage(NEW.repository, 0, 0), NEW.canonical,
            (SELECT size FROM blobs WHERE digest = NEW.canonical), after, 1);
    ELSIF TG_OP = 'UPDATE' THEN
        before := (OLD.linked <> 0)::INT;
        after := (NEW.linked <> 0)::INT;
        IF before <> after THEN
            PERFORM count_content(add_to_usage(NEW.repository, 0, 0), NEW.canonical, 0, after - before, 0);
        END IF;
    ELSE
        before := (OLD.linked <> 0)::INT;
        PERFORM count_content(add_to_usage(OLD.repository, 0, 0), OLD.canonical, 0, -before, -1);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER repository_blobs_counted AFTER INSERT OR DELETE OR UPDATE OF linked ON repository_blobs
FOR EACH ROW EXECUTE FUNCTION count_repository_blob();

CREATE FUNCTION count_repository_manifest() RETURNS TRIGGER LANGUAGE plpgsql AS $$
DECLARE
    more BIGINT := 0;
BEGIN
    IF TG_OP = 'INSERT' THEN
        more := (NOT EXISTS (SELECT 1 FROM repository_manifests m
            WHERE m.repository = NEW.repository AND m.canonical <> NEW.canonical))::INT;
        PERFORM count_content(add_to_usage(NEW.repository, more, 0), NEW.canonical,
            (SELECT size FROM manifests WHERE digest = NEW.canonical), 1, 1);
    ELSE
        more := -(NOT EXISTS (SELECT 1 FROM repository_manifests m WHERE m.repository = OLD.repository))::INT;
        PERFORM count_content(add_to_usage(OLD.repository, more, 0), OLD.canonical, 0, -1, -1);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER repository_manifests_counted AFTER INSERT OR DELETE ON repository_manifests
FOR EACH ROW EXECUTE FUNCTION count_repository_manifest();

CREATE FUNCTION count_tag() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM add_to_usage(NEW.repository, 0, 1);
    ELSE
        PERFORM add_to_usage(OLD.repository, 0, -1);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER tags_counted AFTER INSERT OR DELETE ON tags FOR EACH ROW EXECUTE FUNCTION count_tag();
