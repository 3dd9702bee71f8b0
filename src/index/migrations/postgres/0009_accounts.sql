-- Accounts. A column that protects has a default that protects, and where it could be NULL, NULL does.
-- Numbers of rows are never given again: what a token or a grant names is what it was made for.

-- Nothing was ever written to these.
DROP TABLE grants;
DROP TABLE users;

-- Who may see a repository has a third answer: everybody who is signed in.
ALTER TABLE repositories DROP CONSTRAINT repositories_visibility_check;
ALTER TABLE repositories ADD CONSTRAINT repositories_visibility_check
    CHECK (visibility IN ('public', 'internal', 'private'));
CREATE INDEX repositories_visibility ON repositories (visibility, name);

-- The generation of the accounts: each change begins by raising it, and so waits for the one before.
CREATE TABLE account_clock (
    id      BIGINT PRIMARY KEY CHECK (id = 1),
    version BIGINT NOT NULL
);
INSERT INTO account_clock (id, version) VALUES (1, 1);

-- Users and robots. A robot belongs to a namespace and has no password; without its maker it has no rights.
CREATE TABLE principals (
    id               BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind             TEXT COLLATE "C" NOT NULL CHECK (kind IN ('user', 'robot')),
    name             TEXT COLLATE "C" NOT NULL UNIQUE,
    password         TEXT COLLATE "C",
    password_changes BIGINT NOT NULL DEFAULT 0,
    is_admin         BIGINT NOT NULL DEFAULT 0 CHECK (is_admin IN (0, 1)),
    is_disabled      BIGINT NOT NULL DEFAULT 1 CHECK (is_disabled IN (0, 1)),
    namespace        BIGINT,
    maker            BIGINT REFERENCES principals (id),
    created          BIGINT NOT NULL,
    CHECK (CASE kind WHEN 'user' THEN namespace IS NULL AND maker IS NULL
                     ELSE namespace IS NOT NULL AND password IS NULL AND is_admin = 0 END)
);
CREATE INDEX principals_namespace ON principals (namespace) WHERE namespace IS NOT NULL;
CREATE INDEX principals_maker ON principals (maker) WHERE maker IS NOT NULL;

-- Names that nobody gets: of a principal that was removed, and of workloads.
CREATE TABLE reserved_names (
    name TEXT COLLATE "C" PRIMARY KEY NOT NULL
);
INSERT INTO reserved_names (name) VALUES ('oidc');

-- The first components of repositories' names. Without an owner one is the administrators'; without a visibility,
-- that of new repositories is the setting's.
CREATE TABLE namespaces (
    id                 BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name               TEXT COLLATE "C" NOT NULL UNIQUE,
    owner              BIGINT REFERENCES principals (id),
    default_visibility TEXT COLLATE "C" CHECK (default_visibility IN ('public', 'internal', 'private')),
    created            BIGINT NOT NULL
);
ALTER TABLE principals ADD FOREIGN KEY (namespace) REFERENCES namespaces (id);
CREATE INDEX namespaces_owner ON namespaces (owner) WHERE owner IS NOT NULL;

CREATE TABLE teams (
    id      BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name    TEXT COLLATE "C" NOT NULL UNIQUE,
    created BIGINT NOT NULL
);

CREATE TABLE team_members (
    team      BIGINT NOT NULL REFERENCES teams (id),
    principal BIGINT NOT NULL REFERENCES principals (id),
    created   BIGINT NOT NULL,
    PRIMARY KEY (team, principal)
);
CREATE INDEX team_members_principal ON team_members (principal, team);

-- Roles, of a principal or of a team, in the repositories that a pattern names.
CREATE TABLE grants (
    id        BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    principal BIGINT REFERENCES principals (id),
    team      BIGINT REFERENCES teams (id),
    role      TEXT COLLATE "C" NOT NULL,
    pattern   TEXT COLLATE "C" NOT NULL,
    maker     BIGINT REFERENCES principals (id),
    created   BIGINT NOT NULL,
    CHECK ((principal IS NULL) <> (team IS NULL))
);
CREATE UNIQUE INDEX grants_principal ON grants (principal, role, pattern) WHERE principal IS NOT NULL;
CREATE UNIQUE INDEX grants_team ON grants (team, role, pattern) WHERE team IS NOT NULL;
CREATE INDEX grants_pattern ON grants (pattern);
CREATE INDEX grants_maker ON grants (maker) WHERE maker IS NOT NULL;

-- Personal access tokens and those of robots: of a secret only the hash is here. One that never expires has the
-- greatest number there is.
CREATE TABLE access_tokens (
    id         TEXT COLLATE "C" PRIMARY KEY NOT NULL,
    principal  BIGINT NOT NULL REFERENCES principals (id),
    hash       BYTEA NOT NULL CHECK (length(hash) = 32),
    name       TEXT COLLATE "C" NOT NULL,
    scopes     TEXT COLLATE "C" NOT NULL,
    maker      BIGINT REFERENCES principals (id),
    created    BIGINT NOT NULL,
    expires    BIGINT NOT NULL,
    last_used  BIGINT,
    is_revoked BIGINT NOT NULL DEFAULT 1 CHECK (is_revoked IN (0, 1))
);
CREATE INDEX access_tokens_principal ON access_tokens (principal, id);
CREATE INDEX access_tokens_maker ON access_tokens (maker, id);
CREATE INDEX access_tokens_expires ON access_tokens (expires);

-- Keys that our tokens are signed with. One of each algorithm signs; those that are retired only verify.
CREATE TABLE signing_keys (
    kid         TEXT COLLATE "C" PRIMARY KEY NOT NULL,
    algorithm   TEXT COLLATE "C" NOT NULL,
    private_key BYTEA NOT NULL,
    created     BIGINT NOT NULL,
    retired     BIGINT
);
CREATE UNIQUE INDEX signing_keys_current ON signing_keys (algorithm) WHERE retired IS NULL;

-- How clients sign in, the same for all processes.
CREATE TABLE sign_in_method (
    id     BIGINT PRIMARY KEY CHECK (id = 1),
    method TEXT COLLATE "C" NOT NULL
);
