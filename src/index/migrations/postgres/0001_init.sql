-- The index. Text orders bytewise; times are milliseconds since the Unix epoch; CIDs are their bytes,
-- digests their text (`sha256:<hex>`), `canonical` always one by sha256.
-- The other database's file of the same number holds the same tables.

-- Grows with every commit of the writer.
CREATE TABLE clock (
    id      BIGINT PRIMARY KEY CHECK (id = 1),
    version BIGINT NOT NULL
);
INSERT INTO clock (id, version) VALUES (1, 1);

-- Written to by whoever asks whether the database can be written to.
CREATE TABLE heartbeat (
    id   BIGINT PRIMARY KEY CHECK (id = 1),
    beat BIGINT NOT NULL
);
INSERT INTO heartbeat (id, beat) VALUES (1, 0);

CREATE TABLE repositories (
    id         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       TEXT COLLATE "C" NOT NULL UNIQUE,
    visibility TEXT COLLATE "C" NOT NULL DEFAULT 'public' CHECK (visibility IN ('public', 'private')),
    created    BIGINT NOT NULL
);

-- Blobs as they are stored, whoever has them. A collection marks what it takes in `state`, and looks
-- at `touched` for what somebody may be about to name.
CREATE TABLE blobs (
    id      BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    digest  TEXT COLLATE "C" NOT NULL UNIQUE,
    cid     BYTEA NOT NULL,
    size    BIGINT NOT NULL,
    state   TEXT COLLATE "C" NOT NULL DEFAULT 'live',
    touched BIGINT NOT NULL
);
CREATE INDEX blobs_touched ON blobs (touched);

-- Names of stored blobs by other algorithms.
CREATE TABLE blob_aliases (
    alias     TEXT COLLATE "C" PRIMARY KEY NOT NULL,
    canonical TEXT COLLATE "C" NOT NULL REFERENCES blobs (digest)
);
CREATE INDEX blob_aliases_canonical ON blob_aliases (canonical);

-- Where a blob's blocks lie in it; a block that it has several times is listed once.
CREATE TABLE blob_blocks (
    cid    BYTEA NOT NULL,
    blob   BIGINT NOT NULL REFERENCES blobs (id),
    start  BIGINT NOT NULL,
    length BIGINT NOT NULL,
    PRIMARY KEY (cid, blob)
);
CREATE INDEX blob_blocks_blob ON blob_blocks (blob);

-- Which blobs a repository has, under each of their names.
CREATE TABLE repository_blobs (
    repository BIGINT NOT NULL REFERENCES repositories (id),
    digest     TEXT COLLATE "C" NOT NULL,
    canonical  TEXT COLLATE "C" NOT NULL REFERENCES blobs (digest),
    PRIMARY KEY (repository, digest)
);
CREATE INDEX repository_blobs_digest ON repository_blobs (digest, repository);
CREATE INDEX repository_blobs_canonical ON repository_blobs (canonical, repository);

-- Manifests as they are stored, whoever has them.
CREATE TABLE manifests (
    digest TEXT COLLATE "C" PRIMARY KEY NOT NULL,
    cid    BYTEA NOT NULL,
    size   BIGINT NOT NULL,
    bytes  BYTEA NOT NULL
);

CREATE TABLE repository_manifests (
    repository    BIGINT NOT NULL REFERENCES repositories (id),
    canonical     TEXT COLLATE "C" NOT NULL REFERENCES manifests (digest),
    media_type    TEXT COLLATE "C" NOT NULL,
    artifact_type TEXT COLLATE "C",
    created       BIGINT NOT NULL,
    PRIMARY KEY (repository, canonical)
);
CREATE INDEX repository_manifests_canonical ON repository_manifests (canonical);

-- Every name by which a repository has a manifest, the canonical one among them.
CREATE TABLE manifest_names (
    repository BIGINT NOT NULL,
    digest     TEXT COLLATE "C" NOT NULL,
    canonical  TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (repository, digest),
    FOREIGN KEY (repository, canonical) REFERENCES repository_manifests (repository, canonical)
);
CREATE INDEX manifest_names_canonical ON manifest_names (repository, canonical, digest);

-- What a repository's manifest references, by the very name in it.
CREATE TABLE manifest_edges (
    repository BIGINT NOT NULL,
    canonical  TEXT COLLATE "C" NOT NULL,
    place      BIGINT NOT NULL,
    kind       TEXT COLLATE "C" NOT NULL CHECK (kind IN ('child', 'blob', 'subject')),
    target     TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (repository, canonical, place),
    FOREIGN KEY (repository, canonical) REFERENCES repository_manifests (repository, canonical)
);
CREATE INDEX manifest_edges_target ON manifest_edges (repository, target, kind, canonical);

CREATE TABLE tags (
    repository BIGINT NOT NULL,
    name       TEXT COLLATE "C" NOT NULL,
    digest     TEXT COLLATE "C" NOT NULL,
    canonical  TEXT COLLATE "C" NOT NULL,
    updated    BIGINT NOT NULL,
    PRIMARY KEY (repository, name),
    FOREIGN KEY (repository, canonical) REFERENCES repository_manifests (repository, canonical)
);
CREATE INDEX tags_canonical ON tags (repository, canonical);

-- Uploads under way. They name their repository, which need not exist.
CREATE TABLE uploads (
    id         TEXT COLLATE "C" PRIMARY KEY NOT NULL,
    repository TEXT COLLATE "C" NOT NULL,
    owner      TEXT COLLATE "C" NOT NULL,
    received   BIGINT NOT NULL,
    checkpoint BYTEA NOT NULL,
    claim      TEXT COLLATE "C",
    claimed    BIGINT,
    created    BIGINT NOT NULL,
    touched    BIGINT NOT NULL
);
CREATE INDEX uploads_touched ON uploads (touched);

-- The queue of edits. An entry without an outcome is open.
CREATE TABLE pending_edits (
    seq     BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    state   TEXT COLLATE "C" NOT NULL DEFAULT 'waiting'
            CHECK (state IN ('waiting', 'checked', 'done', 'refused')),
    tree    TEXT COLLATE "C",
    intent  BYTEA NOT NULL,
    edits   BYTEA,
    outcome BYTEA,
    folded  BIGINT NOT NULL DEFAULT 0,
    created BIGINT NOT NULL
);
CREATE INDEX pending_edits_open ON pending_edits (seq) WHERE outcome IS NULL;
CREATE INDEX pending_edits_state ON pending_edits (state, tree, folded, seq);

-- The root of each tree as last folded.
CREATE TABLE trees (
    name TEXT COLLATE "C" PRIMARY KEY NOT NULL CHECK (name IN ('public', 'private')),
    root BYTEA NOT NULL
);

-- How many live nodes of a tree link to a node, and since when none does.
CREATE TABLE nodes (
    cid          BYTEA PRIMARY KEY NOT NULL,
    refs         BIGINT NOT NULL DEFAULT 0 CHECK (refs >= 0),
    private_refs BIGINT NOT NULL DEFAULT 0 CHECK (private_refs >= 0),
    removed      BIGINT,
    bytes        BYTEA
);
CREATE INDEX nodes_removed ON nodes (removed) WHERE removed IS NOT NULL;

-- Roots that were published, and when each may go.
CREATE TABLE published_roots (
    root      BYTEA PRIMARY KEY NOT NULL,
    published BIGINT NOT NULL,
    expires   BIGINT
);

-- Other operators' roots as last resolved.
CREATE TABLE remote_roots (
    name     TEXT COLLATE "C" PRIMARY KEY NOT NULL,
    root     BYTEA NOT NULL,
    resolved BIGINT NOT NULL,
    expires  BIGINT NOT NULL
);

CREATE TABLE users (
    id       BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name     TEXT COLLATE "C" NOT NULL UNIQUE,
    password TEXT COLLATE "C",
    created  BIGINT NOT NULL
);

-- What a user may do in the repositories that a pattern names.
CREATE TABLE grants (
    holder  BIGINT NOT NULL REFERENCES users (id),
    pattern TEXT COLLATE "C" NOT NULL,
    action  TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (holder, pattern, action)
);
