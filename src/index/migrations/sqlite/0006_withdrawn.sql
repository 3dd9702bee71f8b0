-- Files that were withdrawn from the public tree: the gateway refuses them under every root. `digest` is that of the
-- content, whose file and link these are; `forgotten` says whether its bytes are no longer kept.
CREATE TABLE withdrawn (
    cid       BLOB PRIMARY KEY NOT NULL,
    digest    TEXT NOT NULL,
    forgotten INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX withdrawn_digest ON withdrawn (digest);
