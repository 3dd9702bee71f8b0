-- Accounts. A column that protects has a default that protects, and where it could be NULL, NULL does.
-- Numbers of rows are never given again: what a token or a grant names is what it was made for.

-- Nothing was ever written to these.
DROP TABLE grants;
DROP TABLE users;

-- Who may see a repository has a third answer: everybody who is signed in.
ALTER TABLE repositories ADD COLUMN audience TEXT NOT NULL DEFAULT 'public'
    CHECK (audience IN ('public', 'internal', 'private'));
UPDATE repositories SET audience = visibility;
ALTER TABLE repositories DROP COLUMN visibility;
ALTER TABLE repositories RENAME COLUMN audience TO visibility;
CREATE INDEX repositories_visibility ON repositories (visibility, name);

-- The generation of the accounts: each change begins by raising it, and so waits for the one before.
CREATE TABLE account_clock (
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    version INTEGER NOT NULL
) STRICT;
INSERT INTO account_clock (id, version) VALUES (1, 1);

-- Users and robots. A robot belongs to a namespace and has no password; without its maker it has no rights.
CREATE TABLE principals (
    id               INTEGER PRIMARY KEY AUTOINCREMENT,
    kind             TEXT NOT NULL CHECK (kind IN ('user', 'robot')),
    name             TEXT NOT NULL UNIQUE,
    password         TEXT,
    password_changes INTEGER NOT NULL DEFAULT 0,
    is_admin         INTEGER NOT NULL DEFAULT 0 CHECK (is_admin IN (0, 1)),
    is_disabled      INTEGER NOT NULL DEFAULT 1 CHECK (is_disabled IN (0, 1)),
    namespace        INTEGER REFERENCES namespaces (id),
    maker            INTEGER REFERENCES principals (id),
    created          INTEGER NOT NULL,
    CHECK (CASE kind WHEN 'user' THEN namespace IS NULL AND maker IS NULL
                     ELSE namespace IS NOT NULL AND password IS NULL AND is_admin = 0 END)
) STRICT;
CREATE INDEX principals_namespace ON principals (namespace) WHERE namespace IS NOT NULL;
CREATE INDEX principals_maker ON principals (maker) WHERE maker IS NOT NULL;

-- Names that nobody gets: of a principal that was removed, and of workloads.
CREATE TABLE reserved_names (
    name TEXT PRIMARY KEY NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO reserved_names (name) VALUES ('oidc');

-- The first components of repositories' names. Without an owner one is the administrators'; without a visibility,
-- that of new repositories is the setting's.
CREATE TABLE namespaces (
    id                 INTEGER PRIMARY KEY AUTOINCREMENT,
    name               TEXT NOT NULL UNIQUE,
    owner              INTEGER REFERENCES principals (id),
    default_visibility TEXT CHECK (default_visibility IN ('public', 'internal', 'private')),
    created            INTEGER NOT NULL
) STRICT;
CREATE INDEX namespaces_owner ON namespaces (owner) WHERE owner IS NOT NULL;

CREATE TABLE teams (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    name    TEXT NOT NULL UNIQUE,
    created INTEGER NOT NULL
) STRICT;

CREATE TABLE team_members (
    team      INTEGER NOT NULL REFERENCES teams (id),
    principal INTEGER NOT NULL REFERENCES principals (id),
    created   INTEGER NOT NULL,
    PRIMARY KEY (team, principal)
) STRICT, WITHOUT ROWID;
CREATE INDEX team_members_principal ON team_members (principal, team);

-- Roles, of a principal or of a team, in the repositories that a pattern names.
CREATE TABLE grants (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    principal INTEGER REFERENCES principals (id),
    team      INTEGER REFERENCES teams (id),
    role      TEXT NOT NULL,
    pattern   TEXT NOT NULL,
    maker     INTEGER REFERENCES principals (id),
    created   INTEGER NOT NULL,
    CHECK ((principal IS NULL) <> (team IS NULL))
) STRICT;
CREATE UNIQUE INDEX grants_principal ON grants (principal, role, pattern) WHERE principal IS NOT NULL;
CREATE UNIQUE INDEX grants_team ON grants (team, role, pattern) WHERE team IS NOT NULL;
CREATE INDEX grants_pattern ON grants (pattern);
CREATE INDEX grants_maker ON grants (maker) WHERE maker IS NOT NULL;

-- Personal access tokens and those of robots: of a secret only the hash is here. One that never expires has the
-- greatest number there is.
CREATE TABLE access_tokens (
    id         TEXT PRIMARY KEY NOT NULL,
    principal  INTEGER NOT NULL REFERENCES principals (id),
    hash       BLOB NOT NULL CHECK (length(hash) = 32),
    name       TEXT NOT NULL,
    scopes     TEXT NOT NULL,
    maker      INTEGER REFERENCES principals (id),
    created    INTEGER NOT NULL,
    expires    INTEGER NOT NULL,
    last_used  INTEGER,
    is_revoked INTEGER NOT NULL DEFAULT 1 CHECK (is_revoked IN (0, 1))
) STRICT;
CREATE INDEX access_tokens_principal ON access_tokens (principal, id);
CREATE INDEX access_tokens_maker ON access_tokens (maker, id);
CREATE INDEX access_tokens_expires ON access_tokens (expires);

-- Keys that our tokens are signed with. One of each algorithm signs; those that are retired only verify.
CREATE TABLE signing_keys (
    kid         TEXT PRIMARY KEY NOT NULL,
    algorithm   TEXT NOT NULL,
    private_key BLOB NOT NULL,
    created     INTEGER NOT NULL,
    retired     INTEGER
) STRICT;
CREATE UNIQUE INDEX signing_keys_current ON signing_keys (algorithm) WHERE retired IS NULL;

-- How clients sign in, the same for all processes.
CREATE TABLE sign_in_method (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    method TEXT NOT NULL
) STRICT;
