-- The index. Text orders bytewise; times are milliseconds since the Unix epoch; CIDs are their bytes,
-- digests their text (`sha256:<hex>`), `canonical` always one by sha256.
-- The other database's file of the same number holds the same tables.

-- Grows with every commit of the writer.
CREATE TABLE clock (
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    version INTEGER NOT NULL
) STRICT;
INSERT INTO clock (id, version) VALUES (1, 1);

-- Written to by whoever asks whether the database can be written to.
CREATE TABLE heartbeat (
    id   INTEGER PRIMARY KEY CHECK (id = 1),
    beat INTEGER NOT NULL
) STRICT;
INSERT INTO heartbeat (id, beat) VALUES (1, 0);

CREATE TABLE repositories (
    id         INTEGER PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    visibility TEXT NOT NULL DEFAULT 'public' CHECK (visibility IN ('public', 'private')),
    created    INTEGER NOT NULL
) STRICT;

-- Blobs as they are stored, whoever has them. A collection marks what it takes in `state`, and looks
-- at `touched` for what somebody may be about to name.
CREATE TABLE blobs (
    id      INTEGER PRIMARY KEY,
    digest  TEXT NOT NULL UNIQUE,
    cid     BLOB NOT NULL,
    size    INTEGER NOT NULL,
    state   TEXT NOT NULL DEFAULT 'live',
    touched INTEGER NOT NULL
) STRICT;
CREATE INDEX blobs_touched ON blobs (touched);

-- Names of stored blobs by other algorithms.
CREATE TABLE blob_aliases (
    alias     TEXT PRIMARY KEY NOT NULL,
    canonical TEXT NOT NULL REFERENCES blobs (digest)
) STRICT, WITHOUT ROWID;
CREATE INDEX blob_aliases_canonical ON blob_aliases (canonical);

-- Where a blob's blocks lie in it; a block that it has several times is listed once.
CREATE TABLE blob_blocks (
    cid    BLOB NOT NULL,
    blob   INTEGER NOT NULL REFERENCES blobs (id),
    start  INTEGER NOT NULL,
    length INTEGER NOT NULL,
    PRIMARY KEY (cid, blob)
) STRICT, WITHOUT ROWID;
CREATE INDEX blob_blocks_blob ON blob_blocks (blob);

-- Which blobs a repository has, under each of their names.
CREATE TABLE repository_blobs (
    repository INTEGER NOT NULL REFERENCES repositories (id),
    digest     TEXT NOT NULL,
    canonical  TEXT NOT NULL REFERENCES blobs (digest),
    PRIMARY KEY (repository, digest)
) STRICT, WITHOUT ROWID;
CREATE INDEX repository_blobs_digest ON repository_blobs (digest, repository);
CREATE INDEX repository_blobs_canonical ON repository_blobs (canonical, repository);

-- Manifests as they are stored, whoever has them.
CREATE TABLE manifests (
    digest TEXT PRIMARY KEY NOT NULL,
    cid    BLOB NOT NULL,
    size   INTEGER NOT NULL,
    bytes  BLOB NOT NULL
) STRICT;

CREATE TABLE repository_manifests (
    repository    INTEGER NOT NULL REFERENCES repositories (id),
    canonical     TEXT NOT NULL REFERENCES manifests (digest),
    media_type    TEXT NOT NULL,
    artifact_type TEXT,
    created       INTEGER NOT NULL,
    PRIMARY KEY (repository, canonical)
) STRICT, WITHOUT ROWID;
CREATE INDEX repository_manifests_canonical ON repository_manifests (canonical);

-- Every name by which a repository has a manifest, the canonical one among them.
CREATE TABLE manifest_names (
    repository INTEGER NOT NULL,
    digest     TEXT NOT NULL,
    canonical  TEXT NOT NULL,
    PRIMARY KEY (repository, digest),
    FOREIGN KEY (repository, canonical) REFERENCES repository_manifests (repository, canonical)
) STRICT, WITHOUT ROWID;
CREATE INDEX manifest_names_canonical ON manifest_names (repository, canonical, digest);

-- What a repository's manifest references, by the very name in it.
CREATE TABLE manifest_edges (
    repository INTEGER NOT NULL,
    canonical  TEXT NOT NULL,
    place      INTEGER NOT NULL,
    kind       TEXT NOT NULL CHECK (kind IN ('child', 'blob', 'subject')),
    target     TEXT NOT NULL,
    PRIMARY KEY (repository, canonical, place),
    FOREIGN KEY (repository, canonical) REFERENCES repository_manifests (repository, canonical)
) STRICT, WITHOUT ROWID;
CREATE INDEX manifest_edges_target ON manifest_edges (repository, target, kind, canonical);

CREATE TABLE tags (
    repository INTEGER NOT NULL,
    name       TEXT NOT NULL,
    digest     TEXT NOT NULL,
    canonical  TEXT NOT NULL,
    updated    INTEGER NOT NULL,
    PRIMARY KEY (repository, name),
    FOREIGN KEY (repository, canonical) REFERENCES repository_manifests (repository, canonical)
) STRICT, WITHOUT ROWID;
CREATE INDEX tags_canonical ON tags (repository, canonical);

-- Uploads under way. They name their repository, which need not exist.
CREATE TABLE uploads (
    id         TEXT PRIMARY KEY NOT NULL,
    repository TEXT NOT NULL,
    owner      TEXT NOT NULL,
    received   INTEGER NOT NULL,
    checkpoint BLOB NOT NULL,
    claim      TEXT,
    claimed    INTEGER,
    created    INTEGER NOT NULL,
    touched    INTEGER NOT NULL
) STRICT;
CREATE INDEX uploads_touched ON uploads (touched);

-- The queue of edits. An entry without an outcome is open.
CREATE TABLE pending_edits (
    seq     INTEGER PRIMARY KEY AUTOINCREMENT,
    state   TEXT NOT NULL DEFAULT 'waiting'
            CHECK (state IN ('waiting', 'checked', 'done', 'refused')),
    tree    TEXT,
    intent  BLOB NOT NULL,
    edits   BLOB,
    outcome BLOB,
    folded  INTEGER NOT NULL DEFAULT 0,
    created INTEGER NOT NULL
) STRICT;
CREATE INDEX pending_edits_open ON pending_edits (seq) WHERE outcome IS NULL;
CREATE INDEX pending_edits_state ON pending_edits (state, tree, folded, seq);

-- The root of each tree as last folded.
CREATE TABLE trees (
    name TEXT PRIMARY KEY NOT NULL CHECK (name IN ('public', 'private')),
    root BLOB NOT NULL
) STRICT;

-- How many live nodes of a tree link to a node, and since when none does.
CREATE TABLE nodes (
    cid          BLOB PRIMARY KEY NOT NULL,
    refs         INTEGER NOT NULL DEFAULT 0 CHECK (refs >= 0),
    private_refs INTEGER NOT NULL DEFAULT 0 CHECK (private_refs >= 0),
    removed      INTEGER,
    bytes        BLOB
) STRICT;
CREATE INDEX nodes_removed ON nodes (removed) WHERE removed IS NOT NULL;

-- Roots that were published, and when each may go.
CREATE TABLE published_roots (
    root      BLOB PRIMARY KEY NOT NULL,
    published INTEGER NOT NULL,
    expires   INTEGER
) STRICT;

-- Other operators' roots as last resolved.
CREATE TABLE remote_roots (
    name     TEXT PRIMARY KEY NOT NULL,
    root     BLOB NOT NULL,
    resolved INTEGER NOT NULL,
    expires  INTEGER NOT NULL
) STRICT;

CREATE TABLE users (
    id       INTEGER PRIMARY KEY,
    name     TEXT NOT NULL UNIQUE,
    password TEXT,
    created  INTEGER NOT NULL
) STRICT;

-- What a user may do in the repositories that a pattern names.
CREATE TABLE grants (
    holder  INTEGER NOT NULL REFERENCES users (id),
    pattern TEXT NOT NULL,
    action  TEXT NOT NULL,
    PRIMARY KEY (holder, pattern, action)
) STRICT, WITHOUT ROWID;
