-- Whether the public tree has the link to a repository's blob by that name: 0 no, 1 yes, 2 not known, since an
-- earlier version did not note it. What is not known is looked up in the tree at the next start.
ALTER TABLE repository_blobs ADD COLUMN linked SMALLINT NOT NULL DEFAULT 0;
UPDATE repository_blobs SET linked = CASE WHEN EXISTS (
    SELECT 1 FROM manifest_edges e WHERE e.repository = repository_blobs.repository
    AND e.target = repository_blobs.digest AND e.kind = 'blob') THEN 1 ELSE 2 END;
CREATE INDEX repository_blobs_linked ON repository_blobs (canonical) WHERE linked <> 0;
CREATE INDEX repository_blobs_unsettled ON repository_blobs (repository, digest) WHERE linked = 2;
