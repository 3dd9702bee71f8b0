//! The table of settings: one row each.

use super::{Kind, Setting};

/// Every setting, those of one concern together. Known names, defaults, `roadstead config` and
/// `config/roadstead.toml` follow from it.
pub const SETTINGS: &[Setting] = &[
    Setting {
        name: "retention",
        kind: Kind::Tables,
        default: "[]",
        expects: "tables [[retention]] with repositories and tags, keep_last, keep_last_by, keep_younger_than, \
            keep_pulled_within, keep_tags, delete_untagged_after, immutable_tags or protect",
        help: "Which tags and manifests are deleted by themselves, and which tags cannot be moved or deleted \
            (docs/CLEANING.md).",
    },
    Setting {
        name: "server.listen",
        kind: Kind::Text,
        default: r#""127.0.0.1:5000""#,
        expects: "a socket address such as 127.0.0.1:5000",
        help: "The address and port to listen on. Port 0 takes a free one.",
    },
    Setting {
        name: "server.data",
        kind: Kind::Text,
        default: r#""./data""#,
        expects: "a folder such as ./data",
        help: "The data folder, which holds everything. It is created if it is missing.",
    },
    Setting {
        name: "server.external_url",
        kind: Kind::Text,
        default: r#""""#,
        expects: "an http or https URL without a path, such as https://registry.example.com",
        help: "The URL by which clients reach the registry behind a proxy. Empty: locations in answers are \
            relative to the request's URL.",
    },
    Setting {
        name: "server.hosts",
        kind: Kind::List,
        default: "[]",
        expects: r#"names or addresses without a port, such as ["registry.lan"]"#,
        help: "Further names by which clients reach the registry. An open registry on a loopback address accepts \
            changes only by these names, localhost and loopback addresses, so that web pages cannot send any.",
    },
    Setting {
        name: "server.trusted_proxies",
        kind: Kind::List,
        default: r#"["127.0.0.0/8", "::1"]"#,
        expects: r#"addresses or networks such as ["10.0.0.7", "2001:db8:1::/48"]"#,
        help: "The proxies whose headers Forwarded or X-Forwarded-For, -Proto and -Host are trusted. From others \
            these headers are ignored.",
    },
    Setting {
        name: "server.domains",
        kind: Kind::List,
        default: "[]",
        expects: r#"domains such as ["example.com"]"#,
        help: "This registry's own domains: with example.com, the name example.com/api is its repository api.",
    },
    Setting {
        name: "server.local_namespaces",
        kind: Kind::List,
        default: "[]",
        expects: r#"first components of repository names, such as ["docker.io"]"#,
        help: "First components that look like a domain, key or CID but are local, such as docker.io for copies \
            on a machine without a network.",
    },
    Setting {
        name: "server.shutdown_grace",
        kind: Kind::Duration,
        default: r#""30s""#,
        expects: "a duration such as 30s",
        help: "How long running transfers may go on when the server stops.",
    },
    Setting {
        name: "server.request_timeout",
        kind: Kind::Duration,
        default: r#""25s""#,
        expects: "a duration above zero such as 25s",
        help: "How long a change (a manifest, a tag, a deletion) waits for its commit before the client gets 503. \
            It may still be committed later. Some clients give up after 30 seconds.",
    },
    Setting {
        name: "server.limits.requests_per_connection",
        kind: Kind::Number,
        default: "100",
        expects: "a number from 1 to 1000000 such as 100",
        help: "How many requests may run at once on one connection. Beyond, they get 429.",
    },
    Setting {
        name: "server.limits.transfers",
        kind: Kind::Number,
        default: "4096",
        expects: "a number from 1 to 1000000 such as 4096",
        help: "How many transfers may run at once, at most a quarter of the process's limit of open files. \
            Beyond, requests get 503.",
    },
    Setting {
        name: "server.limits.transfers_per_client",
        kind: Kind::Number,
        default: "2048",
        expects: "a number from 1 to 1000000 such as 2048",
        help: "How many of them one client may have: one address, or one IPv6 network /64. Beyond, requests get \
            429.",
    },
    Setting {
        name: "server.limits.connections",
        kind: Kind::Number,
        default: "16384",
        expects: "a number from 1 to 1000000 such as 16384",
        help: "How many connections may be open, at most a quarter of the process's limit of open files. Beyond, \
            they are closed.",
    },
    Setting {
        name: "server.limits.connections_per_client",
        kind: Kind::Number,
        default: "1024",
        expects: "a number from 1 to 1000000 such as 1024",
        help: "How many of them one client may have. Beyond, they are closed. Trusted proxies have no such limit.",
    },
    Setting {
        name: "server.limits.pulls",
        kind: Kind::Text,
        default: r#""""#,
        expects: "a number and a time such as 5000/6h, or nothing",
        help: "How many manifests a user, robot or workload may pull in a time, by one process. Beyond, pulls get 429. \
            Empty: any number.",
    },
    Setting {
        name: "server.limits.anonymous_pulls",
        kind: Kind::Text,
        default: r#""""#,
        expects: "a number and a time such as 100/6h, or nothing",
        help: "The same for clients that have not signed in: for one address, or one IPv6 network /64. Behind a proxy, \
            set server.trusted_proxies first, or all of them count as one.",
    },
    Setting {
        name: "server.limits.pushes",
        kind: Kind::Text,
        default: r#""""#,
        expects: "a number and a time such as 600/1h, or nothing",
        help: "How many manifests a user, robot or workload may push in a time, by one process; without sign-in, one \
            address. Beyond, pushes get 429. Empty: any number.",
    },
    Setting {
        name: "server.limits.send_timeout",
        kind: Kind::Duration,
        default: r#""60s""#,
        expects: "a duration above zero and of at most a day such as 60s",
        help: "How long a client may read nothing of an answer before the transfer is ended.",
    },
    Setting {
        name: "server.tls.certificate",
        kind: Kind::Text,
        default: r#""""#,
        expects: "a file in PEM, such as /etc/roadstead/fullchain.pem",
        help: "The server's certificate, followed by its chain. It is reloaded when it changes. Empty: \
            connections are not encrypted.",
    },
    Setting {
        name: "server.tls.key",
        kind: Kind::Text,
        default: r#""""#,
        expects: "a file in PEM, such as /etc/roadstead/privkey.pem",
        help: "The private key of the certificate.",
    },
    Setting {
        name: "storage.driver",
        kind: Kind::Choice(&["embedded", "kubo"]),
        default: r#""embedded""#,
        expects: "embedded or kubo",
        help: "Where content and trees are stored. embedded: in the data folder. kubo: on a Kubo node \
            (docs/KUBO.md), which several processes may share.",
    },
    Setting {
        name: "storage.kubo.api",
        kind: Kind::Text,
        default: r#""http://127.0.0.1:5001""#,
        expects: "a URL such as http://127.0.0.1:5001 or a multiaddr such as /ip4/127.0.0.1/tcp/5001",
        help: "The RPC API of the node. Everyone who can reach it controls the node: never expose it.",
    },
    Setting {
        name: "storage.kubo.gateway",
        kind: Kind::Text,
        default: r#""http://127.0.0.1:8080""#,
        expects: "a URL such as http://127.0.0.1:8080 or a multiaddr such as /ip4/127.0.0.1/tcp/8080",
        help: "The gateway of the same node, with `Gateway.NoFetch` set to true.",
    },
    Setting {
        name: "storage.kubo.mfs_root",
        kind: Kind::Text,
        default: r#""/roadstead""#,
        expects: "a path such as /roadstead, of letters, digits, `.`, `_`, `-` and `/`",
        help: "The registry's MFS folder on the node, which nothing else may write to. It is created if it is \
            missing.",
    },
    Setting {
        name: "storage.kubo.token",
        kind: Kind::Secret,
        default: r#""""#,
        expects: "a token without spaces",
        help: "The token of one of the node's `API.Authorizations`. Empty: none.",
    },
    Setting {
        name: "storage.kubo.redirect",
        kind: Kind::Text,
        default: r#""""#,
        expects: "an http or https URL without a path, such as https://ipfs.example.com",
        help: "A gateway to redirect clients to for blobs. Empty: the registry sends blobs itself. Use a name: some clients \
            follow no redirect to a private address.",
    },
    Setting {
        name: "storage.kubo.clean_interval",
        kind: Kind::Duration,
        default: r#""60s""#,
        expects: "a duration above zero such as 60s",
        help: "How often unused names on the node are removed. Pushes wait for it, for about half a second.",
    },
    Setting {
        name: "storage.kubo.collect",
        kind: Kind::Flag,
        default: "false",
        expects: "true or false",
        help: "Whether a collection of garbage also has the node remove all blocks that neither a pin nor a file of it needs, \
            also those of other programs. Pushes wait meanwhile.",
    },
    Setting {
        name: "index.url",
        kind: Kind::Secret,
        default: r#""sqlite:index.sqlite""#,
        expects: "sqlite:PATH, relative to the data folder, or a postgres:// URL",
        help: "The database of the index. Empty: the default.",
    },
    Setting {
        name: "index.postgres.max_connections",
        kind: Kind::Number,
        default: "10",
        expects: "a number of connections from 2 to 10000 such as 10",
        help: "How many connections to Postgres are shared by requests. Up to 12 more are used by commits and \
            background work.",
    },
    Setting {
        name: "index.postgres.acquire_timeout",
        kind: Kind::Duration,
        default: r#""5s""#,
        expects: "a duration above zero such as 5s",
        help: "How long a request waits for a connection before it gets 503.",
    },
    Setting {
        name: "index.postgres.statement_timeout",
        kind: Kind::Duration,
        default: r#""30s""#,
        expects: "a duration above zero such as 30s",
        help: "How long an SQL statement of a request may take. Those of commits may take ten minutes.",
    },
    Setting {
        name: "dnslink.servers",
        kind: Kind::List,
        default: "[]",
        expects: "up to 8 addresses such as 192.0.2.1 or 192.0.2.1:5353, or URLs such as \
                  https://192.0.2.1/dns-query",
        help: "The DNS servers that resolve names, in order; the next one is tried when one fails or is slow. A \
            URL is queried over HTTPS. Empty: those of the system.",
    },
    Setting {
        name: "dnslink.dnssec",
        kind: Kind::Flag,
        default: "false",
        expects: "true or false",
        help: "Validates DNSSEC signatures, up to the keys of the DNS root. An answer that fails is ignored; a \
            zone that is proven to be unsigned is accepted. The servers have to pass signatures on.",
    },
    Setting {
        name: "dnslink.trust_anchors",
        kind: Kind::Text,
        default: r#""""#,
        expects: "a file of DNSKEY records, such as /etc/roadstead/trusted.key",
        help: "Keys that are trusted instead of those of the DNS root, for private zones. Empty: those of the root.",
    },
    Setting {
        name: "dnslink.https_authority",
        kind: Kind::Text,
        default: r#""""#,
        expects: "a file in PEM, such as /etc/roadstead/authority.pem",
        help: "The CA certificates for DNS servers over HTTPS. Empty: those that browsers trust.",
    },
    Setting {
        name: "dnslink.ttl_floor",
        kind: Kind::Duration,
        default: r#""5s""#,
        expects: "a duration above zero and not above dnslink.ttl_ceiling, such as 5s",
        help: "The least time to cache a root, whatever the TTL of its record.",
    },
    Setting {
        name: "dnslink.ttl_ceiling",
        kind: Kind::Duration,
        default: r#""1h""#,
        expects: "a duration of at most a week such as 1h",
        help: "The longest time to cache a root, whatever the TTL of its record.",
    },
    Setting {
        name: "dnslink.stale_for",
        kind: Kind::Duration,
        default: r#""24h""#,
        expects: "a duration of at most a year such as 24h",
        help: "How long an expired root is still used while no DNS server answers.",
    },
    Setting {
        name: "dnslink.max_new_names_per_client",
        kind: Kind::Number,
        default: "120",
        expects: "a number from 1 to 1000000, such as 120",
        help: "How many new names one client may have resolved in a minute: names that were never resolved \
            before. Beyond, the client gets 429.",
    },
    Setting {
        name: "dnslink.max_new_names",
        kind: Kind::Number,
        default: "1200",
        expects: "a number from 1 to 1000000, such as 1200",
        help: "How many new names are resolved in a minute for all clients together.",
    },
    Setting {
        name: "dnslink.allow_private_addresses",
        kind: Kind::Flag,
        default: "false",
        expects: "true or false",
        help: "Allows published addresses to name this machine and its networks: for tests only.",
    },
    Setting {
        name: "auth.method",
        kind: Kind::Choice(&["open", "htpasswd", "accounts", "token"]),
        default: r#""open""#,
        expects: "open or htpasswd or accounts or token",
        help: "How clients sign in. open: not at all; everyone may push, pull and delete. htpasswd: with the \
            users and passwords of a file; each user may do everything. accounts: as users and robots of the \
            index, each with rights by repository (docs/ACCOUNTS.md). token: with the tokens of another token \
            service, which say what their bearer may do.",
    },
    Setting {
        name: "auth.allow_open",
        kind: Kind::Flag,
        default: "false",
        expects: "true or false",
        help: "Allows auth.method = \"open\" on an address that other machines can reach.",
    },
    Setting {
        name: "auth.workloads",
        kind: Kind::Tables,
        default: "[]",
        expects: "tables [[auth.workloads]] with issuer, audience, claims, role and pattern",
        help: "Which jobs of CI and which pods may sign in without a stored secret, by a token of their issuer: one \
            whose claims a rule matches (docs/WORKLOADS.md).",
    },
    Setting {
        name: "auth.workload_session",
        kind: Kind::Duration,
        default: r#""1h""#,
        expects: "a duration from 1m to 24h such as 1h",
        help: "How long a workload stays signed in after it has shown such a token.",
    },
    Setting {
        name: "auth.token_lifetime",
        kind: Kind::Duration,
        default: r#""300s""#,
        expects: "a duration from 60s to 24h such as 300s",
        help: "How long a token of this registry is valid. Many clients cannot get another one while a layer is \
            being sent.",
    },
    Setting {
        name: "auth.sign_ins.waiting",
        kind: Kind::Number,
        default: "256",
        expects: "a number from 1 to 10000 such as 256",
        help: "How many passwords may wait for their check; one client may have at most as many as are free. \
            Beyond, sign-ins get 429.",
    },
    Setting {
        name: "auth.sign_ins.per_client",
        kind: Kind::Number,
        default: "32",
        expects: "a number from 1 to 10000 such as 32",
        help: "How many of them one client may have: one address, or one IPv6 network /64.",
    },
    Setting {
        name: "auth.sign_ins.wrong_passwords",
        kind: Kind::Number,
        default: "10",
        expects: "a number from 1 to 1000000 such as 10",
        help: "How many wrong passwords a client may send before it has to pause: for a second, then twice as \
            long after each further one. The count is reset after 15 minutes without one. Wrong access tokens \
            are counted in the same way.",
    },
    Setting {
        name: "auth.sign_ins.longest_pause",
        kind: Kind::Duration,
        default: r#""60s""#,
        expects: "a duration above zero and of at most 10m such as 60s",
        help: "The longest pause of a client after wrong passwords.",
    },
    Setting {
        name: "auth.htpasswd.file",
        kind: Kind::Text,
        default: r#""""#,
        expects: "a file written by `htpasswd -B`, such as /etc/roadstead/htpasswd",
        help: "The users and the bcrypt hashes of their passwords. The file is reloaded when it changes.",
    },
    Setting {
        name: "auth.htpasswd.anonymous_pull",
        kind: Kind::Flag,
        default: "false",
        expects: "true or false",
        help: "Allows pulls without signing in. To push, to delete and to list all repositories, clients still \
            sign in.",
    },
    Setting {
        name: "auth.accounts.admin",
        kind: Kind::Text,
        default: r#""admin""#,
        expects: "the name of a user such as admin",
        help: "The name of the first administrator, who is added when the registry starts and has no user.",
    },
    Setting {
        name: "auth.accounts.admin_password",
        kind: Kind::Secret,
        default: r#""""#,
        expects: "a password of 12 characters or more",
        help: "The password of the first administrator; not used once there is a user. Empty: a code is \
            printed by which the administrator is made at `/setup`.",
    },
    Setting {
        name: "auth.accounts.default_visibility",
        kind: Kind::Choice(&["public", "internal", "private"]),
        default: r#""private""#,
        expects: "public, internal or private",
        help: "Who may pull from a new repository. public: everyone. internal: \
            everyone who has signed in. private: those with a role there.",
    },
    Setting {
        name: "auth.accounts.create",
        kind: Kind::Choice(&["users", "admins"]),
        default: r#""users""#,
        expects: "users or admins",
        help: "Who creates repositories by their first push. users: each user in the namespaces that it owns or has \
            a role in. admins: administrators alone.",
    },
    Setting {
        name: "auth.accounts.token_algorithm",
        kind: Kind::Choice(&["EdDSA", "RS256", "ES256"]),
        default: r#""EdDSA""#,
        expects: "EdDSA, RS256 or ES256",
        help: "The algorithm by which tokens are signed. Others verify them by the keys at /.well-known/jwks.json.",
    },
    Setting {
        name: "auth.accounts.key_rotation",
        kind: Kind::Duration,
        default: r#""90d""#,
        expects: "a duration from 1d to 3650d such as 90d",
        help: "How old a key gets that tokens are signed with. The next one is published a day before it signs, or \
            a tenth of this time; the old one stays published for 90 days, as long as tokens are good.",
    },
    Setting {
        name: "auth.token.realm",
        kind: Kind::Text,
        default: r#""""#,
        expects: "an http or https URL such as https://auth.example.com/token",
        help: "The token service that clients get their tokens from.",
    },
    Setting {
        name: "auth.token.service",
        kind: Kind::Text,
        default: r#""""#,
        expects: "a name such as registry.example.com",
        help: "The name by which the token service knows this registry: the audience (aud) of its tokens.",
    },
    Setting {
        name: "auth.token.issuer",
        kind: Kind::Text,
        default: r#""""#,
        expects: "the exact text of the claim iss, such as https://auth.example.com",
        help: "The issuer of the tokens. Without a file or a URL of keys, its discovery document says where they are.",
    },
    Setting {
        name: "auth.token.jwks_file",
        kind: Kind::Text,
        default: r#""""#,
        expects: "a file with a JSON web key set, such as /etc/roadstead/jwks.json",
        help: "The public keys of the token service. The file is reloaded when it changes.",
    },
    Setting {
        name: "auth.token.jwks_url",
        kind: Kind::Text,
        default: r#""""#,
        expects: "an https URL such as https://auth.example.com/.well-known/jwks.json",
        help: "Where the public keys of the token service are fetched, instead of a file.",
    },
    Setting {
        name: "auth.token.ca_file",
        kind: Kind::Text,
        default: r#""""#,
        expects: "a file in PEM, such as /etc/roadstead/ca.pem",
        help: "The authorities that the certificate of that URL may be of. Empty: those of the system.",
    },
    Setting {
        name: "auth.token.allow_private_addresses",
        kind: Kind::Flag,
        default: "false",
        expects: "true or false",
        help: "Allows keys to be fetched from private addresses, and by http.",
    },
    Setting {
        name: "gateway.enabled",
        kind: Kind::Flag,
        default: "true",
        expects: "true or false",
        help: "Serves the public tree at /ipfs/<cid> to other registries and IPFS nodes, and announces itself as \
            its provider at /routing/v1/. Where clients have to sign in to pull, it is never served.",
    },
    Setting {
        name: "gateway.root_grace",
        kind: Kind::Duration,
        default: r#""1h""#,
        expects: "a duration above zero such as 1h",
        help: "The grace period: how long a public root is served after another has replaced it, for clients that \
            are still reading it.",
    },
    Setting {
        name: "federation.enabled",
        kind: Kind::Flag,
        default: "true",
        expects: "true or false",
        help: "Serves images of other registries, such as example.com/myorg/api, read-only.",
    },
    Setting {
        name: "federation.domains",
        kind: Kind::List,
        default: "[]",
        expects: r#"domains such as ["example.com"]"#,
        help: "The only domains whose images are served; then roots named by a CID or a key are not served. \
            Empty: all.",
    },
    Setting {
        name: "federation.anonymous",
        kind: Kind::Choice(&["", "any", "listed", "cached", "none"]),
        default: r#""""#,
        expects: "any, listed, cached or none",
        help: "Which images of other registries clients get that have not signed in. any: all. listed: those of \
            federation.domains. cached: those in the cache; nothing is resolved or fetched for them. none: no \
            image. Empty: any where server.listen is a loopback address; elsewhere listed where \
            federation.domains is set, else cached.",
    },
    Setting {
        name: "federation.hosts",
        kind: Kind::List,
        default: "[]",
        expects: r#"domains such as ["example.com"]"#,
        help: "Host names of this server that stand for a domain: with example.com, a request for api at that \
            host is for example.com/api.",
    },
    Setting {
        name: "federation.gateways",
        kind: Kind::List,
        default: "[]",
        expects: r#"http or https URLs without a path, such as ["https://ipfs.example.com"]"#,
        help: "Trustless gateways that are tried for images of other registries, after those that their \
            publishers name.",
    },
    Setting {
        name: "federation.cache_bytes",
        kind: Kind::Number,
        default: "10000000000",
        expects: "a number of bytes such as 10000000000",
        help: "The size of the cache of other registries' images in the data folder; the least recently used are \
            evicted first. Transfers under way may take as much again, and no larger blob can be pulled.",
    },
    Setting {
        name: "federation.cache_files",
        kind: Kind::Number,
        default: "1000000",
        expects: "a number of files above zero such as 1000000",
        help: "How many files the cache of other registries' images may have.",
    },
    Setting {
        name: "federation.cache_root_percent",
        kind: Kind::Number,
        default: "50",
        expects: "a percentage from 1 to 100 such as 50",
        help: "The share of federation.cache_bytes that the images below one root (a domain, key or CID) may take.",
    },
    Setting {
        name: "federation.max_reads",
        kind: Kind::Number,
        default: "64",
        expects: "a number from 1 to 10000",
        help: "How many transfers of other registries' content may run at once, and as many reads of links and \
            manifests. A request that has to wait for more than five seconds gets 503.",
    },
    Setting {
        name: "federation.max_reads_per_root",
        kind: Kind::Number,
        default: "8",
        expects: "a number from 1 to 10000",
        help: "The same, for content below one root.",
    },
    Setting {
        name: "federation.max_read_bytes",
        kind: Kind::Number,
        default: "67108864",
        expects: "a number of bytes from 8388608",
        help: "The memory for blocks that are being received. A quarter of it is available to content below one \
            root.",
    },
    Setting {
        name: "federation.fetch_ahead_bytes",
        kind: Kind::Number,
        default: "0",
        expects: "a number of bytes; 0: none",
        help: "How many bytes of an image of another registry are fetched as soon as a client has got its manifest, \
            several blobs at a time, before the client requests them. It shortens pulls from far away where \
            federation.max_reads_per_root is 32 or more.",
    },
    Setting {
        name: "federation.kubo.api",
        kind: Kind::Text,
        default: r#""""#,
        expects: "a URL such as http://127.0.0.1:5001, a multiaddr such as /ip4/127.0.0.1/tcp/5001, or none",
        help: "The RPC API of a Kubo node that also fetches images of other registries, from the peers that their \
            publishers name and others it finds. Empty: that of storage.kubo, where storage.driver is kubo.",
    },
    Setting {
        name: "federation.kubo.token",
        kind: Kind::Secret,
        default: r#""""#,
        expects: "a token without spaces",
        help: "The token of one of that node's `API.Authorizations`. Empty: none.",
    },
    Setting {
        name: "federation.kubo.keep_peers",
        kind: Kind::Duration,
        default: r#""10m""#,
        expects: "a duration above zero such as 10m",
        help: "How long that node stays connected to a publisher's node after the last pull from it.",
    },
    Setting {
        name: "publish.domain",
        kind: Kind::Text,
        default: r#""""#,
        expects: "a domain such as example.com",
        help: "The domain under which the public root is published, as a TXT record of _dnslink.<domain> \
            (docs/PUBLISHING.md). Empty: not published.",
    },
    Setting {
        name: "publish.provider",
        kind: Kind::Choice(&["", "rfc2136", "cloudflare", "exec"]),
        default: r#""""#,
        expects: "rfc2136, cloudflare or exec",
        help: "How the DNS records are written. rfc2136: by dynamic updates to a name server such as bind. \
            cloudflare: by its API. exec: by a program of yours.",
    },
    Setting {
        name: "publish.debounce",
        kind: Kind::Duration,
        default: r#""2s""#,
        expects: "a duration above zero such as 2s",
        help: "How long after a push to wait for others, which are published together with it; at most ten times \
            that while pushes go on.",
    },
    Setting {
        name: "publish.ttl",
        kind: Kind::Duration,
        default: r#""60s""#,
        expects: "a duration from a second to a day, not above publish.keep, such as 60s",
        help: "The TTL of the records: how long after a push others may still see the earlier root.",
    },
    Setting {
        name: "publish.keep",
        kind: Kind::Duration,
        default: r#""24h""#,
        expects: "a duration above zero and of at most a year such as 24h",
        help: "How long a published root is still served after another one was published.",
    },
    Setting {
        name: "publish.hint",
        kind: Kind::List,
        default: "[]",
        expects: r#"up to 8 multiaddrs such as ["/dns4/registry.example.com/tcp/443/tls/http"]"#,
        help: "The addresses of this registry that are published with the root. Empty: server.external_url, and \
            the public addresses of the Kubo node.",
    },
    Setting {
        name: "publish.servers",
        kind: Kind::List,
        default: "[]",
        expects: "up to 8 name servers such as 192.0.2.1, 192.0.2.1:5353 or ns.example.com",
        help: "The name servers that all have to answer with a root before it counts as published. Empty: with \
            rfc2136 publish.rfc2136.server, else the name servers of the zone.",
    },
    Setting {
        name: "publish.rfc2136.server",
        kind: Kind::Text,
        default: r#""""#,
        expects: "a name server such as 192.0.2.1, 192.0.2.1:5353 or ns.example.com",
        help: "The primary name server of the zone, which is queried and updated over TCP.",
    },
    Setting {
        name: "publish.rfc2136.zone",
        kind: Kind::Text,
        default: r#""""#,
        expects: "a zone such as example.com",
        help: "The zone of the records. Empty: the zone with the name of the domain.",
    },
    Setting {
        name: "publish.rfc2136.key_name",
        kind: Kind::Text,
        default: r#""""#,
        expects: "the name of a key such as roadstead",
        help: "The name of the TSIG key that signs updates.",
    },
    Setting {
        name: "publish.rfc2136.key_algorithm",
        kind: Kind::Choice(&["hmac-sha256", "hmac-sha384", "hmac-sha512"]),
        default: r#""hmac-sha256""#,
        expects: "hmac-sha256, hmac-sha384 or hmac-sha512",
        help: "The algorithm of that key.",
    },
    Setting {
        name: "publish.rfc2136.key_secret",
        kind: Kind::Secret,
        default: r#""""#,
        expects: "the secret in base64, as `tsig-keygen` prints it",
        help: "The secret of that key.",
    },
    Setting {
        name: "publish.cloudflare.token",
        kind: Kind::Secret,
        default: r#""""#,
        expects: "a token without spaces",
        help: "An API token with the permissions to read the zone and to edit its DNS.",
    },
    Setting {
        name: "publish.cloudflare.zone",
        kind: Kind::Text,
        default: r#""""#,
        expects: "a zone such as example.com",
        help: "The zone of the records. Empty: the nearest zone of the domain that the token has access to.",
    },
    Setting {
        name: "publish.cloudflare.zone_id",
        kind: Kind::Text,
        default: r#""""#,
        expects: "an id such as 023e105f4ecef8ad9ca31a8372d0c353",
        help: "The id of the zone, from its overview in the dashboard: for a token that may not list zones, or a \
            zone that is not found by its name.",
    },
    Setting {
        name: "publish.cloudflare.api",
        kind: Kind::Text,
        default: r#""https://api.cloudflare.com/client/v4""#,
        expects: "an http or https URL such as https://api.cloudflare.com/client/v4",
        help: "The URL of the API.",
    },
    Setting {
        name: "publish.exec.command",
        kind: Kind::List,
        default: "[]",
        expects: r#"a program and its arguments such as ["/etc/roadstead/publish", "--verbose"]"#,
        help: "The program that writes the records, and its arguments. It is not run by a shell.",
    },
    Setting {
        name: "publish.exec.timeout",
        kind: Kind::Duration,
        default: r#""60s""#,
        expects: "a duration above zero such as 60s",
        help: "How long the program may run before it is killed, with all its child processes.",
    },
    Setting {
        name: "uploads.expire_after",
        kind: Kind::Duration,
        default: r#""7d""#,
        expects: "a duration above zero such as 7d",
        help: "How long an unfinished upload is retained that no client continues.",
    },
    Setting {
        name: "uploads.idle_timeout",
        kind: Kind::Duration,
        default: r#""15m""#,
        expects: "a duration above zero such as 15m",
        help: "How long a client may send nothing within a body. Then the request gets 408; an upload retains \
            what it has received.",
    },
    Setting {
        name: "uploads.max_bytes",
        kind: Kind::Number,
        default: "100000000000",
        expects: "a number of bytes above zero such as 100000000000",
        help: "How many bytes unfinished uploads may have together, and so the largest blob that can be pushed. \
            Beyond, requests that begin or continue uploads get 429.",
    },
    Setting {
        name: "uploads.purge_interval",
        kind: Kind::Duration,
        default: r#""1h""#,
        expects: "a duration above zero such as 1h",
        help: "How often expired uploads are removed.",
    },
    Setting {
        name: "gc.grace",
        kind: Kind::Duration,
        default: r#""24h""#,
        expects: "a duration such as 24h",
        help: "How long a blob stays that no manifest names, and a manifest that was deleted. Clients count on what they \
            have found: each answer about such a blob begins this time anew. The same for all processes.",
    },
    Setting {
        name: "gc.interval",
        kind: Kind::Duration,
        default: r#""1h""#,
        expects: "a duration such as 1h; 0 for never",
        help: "How often garbage is collected. 0: only by `roadstead gc`.",
    },
    Setting {
        name: "manifests.max_bytes",
        kind: Kind::Number,
        default: "4194304",
        expects: "a number of bytes above zero such as 4194304",
        help: "The largest manifest that is accepted, in bytes. Clients expect at least 4 MiB.",
    },
    Setting {
        name: "manifests.max_memory",
        kind: Kind::Number,
        default: "67108864",
        expects: "a number of bytes, at least manifests.max_bytes, such as 67108864",
        help: "The memory for all manifests that are being sent or received; the first 64 KiB of each do not \
            count. Beyond, requests for larger ones get 503; beyond a quarter of it, those of the same client get \
            429.",
    },
    Setting {
        name: "manifests.idle_timeout",
        kind: Kind::Duration,
        default: r#""1m""#,
        expects: "a duration above zero such as 1m",
        help: "How long a client may send nothing within a manifest of more than 64 KiB, which has to arrive \
            within ten times as long. Then the request gets 408. For smaller ones uploads.idle_timeout applies.",
    },
    Setting {
        name: "manifests.allow_sparse_indexes",
        kind: Kind::Flag,
        default: "false",
        expects: "true or false",
        help: "Accepts an index some of whose images were not pushed, such as a copy of one platform only.",
    },
    Setting {
        name: "audit.keep",
        kind: Kind::Duration,
        default: r#""90d""#,
        expects: "a duration above zero such as 90d",
        help: "How long the index remembers who pushed, deleted, purged or published what, when and from where. \
            What the publisher has not handled yet stays for up to twice as long.",
    },
    Setting {
        name: "log.format",
        kind: Kind::Text,
        default: r#""auto""#,
        expects: "auto, human or json",
        help: "The format of log lines. auto: human on a terminal, else json.",
    },
    Setting {
        name: "log.level",
        kind: Kind::Text,
        default: r#""info""#,
        expects: "error, warn, info, debug, trace or off, or a list such as info,roadstead=debug",
        help: "The log level, which levels of single modules may follow.",
    },
];

impl Setting {
    /// Finds a setting by its name.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        SETTINGS.iter().find(|setting| setting.name == name)
    }
}
