-- Into which trees an entry's edits are to be folded still; an entry may edit several.
CREATE TABLE unfolded_edits (
    seq  BIGINT NOT NULL,
    tree TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (seq, tree)
);
INSERT INTO unfolded_edits (seq, tree) SELECT seq, tree FROM pending_edits
WHERE state IN ('checked', 'done') AND folded = 0 AND tree IS NOT NULL AND edits IS NOT NULL;
DROP INDEX pending_edits_state;
ALTER TABLE pending_edits DROP COLUMN tree;
ALTER TABLE pending_edits DROP COLUMN folded;

-- In which tree a repository is.
ALTER TABLE repositories ADD COLUMN tree TEXT COLLATE "C" NOT NULL DEFAULT 'public';
UPDATE repositories SET tree = visibility;

-- Since when no live node of the private tree links to a node: `removed` is about the public one alone, whose nodes
-- are served for a while longer.
ALTER TABLE nodes ADD COLUMN private_removed BIGINT;
CREATE INDEX nodes_private_removed ON nodes (private_removed) WHERE private_removed IS NOT NULL;
