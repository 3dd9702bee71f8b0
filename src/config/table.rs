//! The table of settings: one row each.

use super::{Kind, Setting};

/// Every setting, those of one concern together. Known names, defaults, `roadstead config` and
/// `config/roadstead.toml` follow from it.
pub const SETTINGS: &[Setting] = &[
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
        help: "The folder that holds everything; it is created when it is missing.",
    },
    Setting {
        name: "server.external_url",
        kind: Kind::Text,
        default: r#""""#,
        expects: "an http or https URL without a path, such as https://registry.example.com",
        help: "The URL by which clients reach the registry when a proxy stands in front of it. \
               Empty: locations in answers are relative to the request's URL.",
    },
    Setting {
        name: "server.hosts",
        kind: Kind::List,
        default: "[]",
        expects: r#"names or addresses without a port, such as ["registry.lan"]"#,
        help: "Further names by which clients reach the registry. An open registry on a loopback \
               address takes changes by these names, by localhost and by loopback addresses only, so \
               that no page in a browser can send them.",
    },
    Setting {
        name: "server.trusted_proxies",
        kind: Kind::List,
        default: r#"["127.0.0.0/8", "::1"]"#,
        expects: r#"addresses or networks such as ["10.0.0.7", "2001:db8:1::/48"]"#,
        help: "The proxies that are believed when they say for which client a request is, by \
               Forwarded or X-Forwarded-For, -Proto and -Host. From others these headers are ignored.",
    },
    Setting {
        name: "server.domains",
        kind: Kind::List,
        default: "[]",
        expects: r#"domains such as ["example.com"]"#,
        help: "Domains that are this registry's own: example.com/api is then its repository api.",
    },
    Setting {
        name: "server.local_namespaces",
        kind: Kind::List,
        default: "[]",
        expects: r#"first components of repository names, such as ["docker.io"]"#,
        help: "First components that look like somebody's root and are to be local all the same, \
               such as docker.io for copies on a machine without a network.",
    },
    Setting {
        name: "server.shutdown_grace",
        kind: Kind::Duration,
        default: r#""30s""#,
        expects: "a duration such as 30s",
        help: "How long transfers may still run when the server is told to stop.",
    },
    Setting {
        name: "server.request_timeout",
        kind: Kind::Duration,
        default: r#""60s""#,
        expects: "a duration above zero such as 60s",
        help: "How long a change (a manifest, a tag, a deletion) waits to be committed before the \
               client is told to come back; it may land later.",
    },
    Setting {
        name: "server.limits.requests_per_connection",
        kind: Kind::Number,
        default: "100",
        expects: "a number from 1 to 1000000 such as 100",
        help: "How many requests one connection may have under way; beyond, they are answered 429.",
    },
    Setting {
        name: "server.limits.transfers",
        kind: Kind::Number,
        default: "4096",
        expects: "a number from 1 to 1000000 such as 4096",
        help: "How many requests that may open files may be under way, and no more than a quarter of the \
               files that the system lets the process open; beyond, they are answered 503.",
    },
    Setting {
        name: "server.limits.transfers_per_client",
        kind: Kind::Number,
        default: "2048",
        expects: "a number from 1 to 1000000 such as 2048",
        help: "How many of them may be of one client: one address, or one network /64 of IPv6. Beyond, \
               they are answered 429.",
    },
    Setting {
        name: "server.limits.connections",
        kind: Kind::Number,
        default: "16384",
        expects: "a number from 1 to 1000000 such as 16384",
        help: "How many connections there may be, and no more than a quarter of the files that the system lets \
               the process open; beyond, they are closed.",
    },
    Setting {
        name: "server.limits.connections_per_client",
        kind: Kind::Number,
        default: "1024",
        expects: "a number from 1 to 1000000 such as 1024",
        help: "How many of them may be of one client; beyond, they are closed. A proxy that is trusted has \
               no such limit.",
    },
    Setting {
        name: "server.limits.send_timeout",
        kind: Kind::Duration,
        default: r#""60s""#,
        expects: "a duration above zero and of at most a day such as 60s",
        help: "How long a client may take nothing of an answer before the transfer is ended and its files \
               are closed.",
    },
    Setting {
        name: "server.tls.certificate",
        kind: Kind::Text,
        default: r#""""#,
        expects: "a file in PEM, such as /etc/roadstead/fullchain.pem",
        help: "The certificate that clients are shown, with those that lead to a known authority \
               behind it. It is read again when it changes. Empty: connections are not encrypted.",
    },
    Setting {
        name: "server.tls.key",
        kind: Kind::Text,
        default: r#""""#,
        expects: "a file in PEM, such as /etc/roadstead/privkey.pem",
        help: "The key of that certificate.",
    },
    Setting {
        name: "storage.driver",
        kind: Kind::Choice(&["embedded", "kubo"]),
        default: r#""embedded""#,
        expects: "embedded or kubo",
        help: "Where bytes and names live. embedded: in the data folder, with no other process. kubo: \
               on a Kubo node (docs/KUBO.md), which several processes may share.",
    },
    Setting {
        name: "storage.kubo.api",
        kind: Kind::Text,
        default: r#""http://127.0.0.1:5001""#,
        expects: "a URL such as http://127.0.0.1:5001 or a multiaddr such as /ip4/127.0.0.1/tcp/5001",
        help: "The RPC of the node. Whoever reaches it owns the node: never expose it.",
    },
    Setting {
        name: "storage.kubo.gateway",
        kind: Kind::Text,
        default: r#""http://127.0.0.1:8080""#,
        expects: "a URL such as http://127.0.0.1:8080 or a multiaddr such as /ip4/127.0.0.1/tcp/8080",
        help: "The gateway of the same node, which has to have `Gateway.NoFetch`.",
    },
    Setting {
        name: "storage.kubo.mfs_root",
        kind: Kind::Text,
        default: r#""/roadstead""#,
        expects: "a path such as /roadstead, of letters, digits, `.`, `_`, `-` and `/`",
        help: "The registry's folder on the node, which nothing else may write to. It is created when \
               it is missing.",
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
        help: "A gateway to which clients are sent for blobs, if they can reach one that has them. \
               Empty: blobs come from the registry.",
    },
    Setting {
        name: "storage.kubo.clean_interval",
        kind: Kind::Duration,
        default: r#""60s""#,
        expects: "a duration above zero such as 60s",
        help: "How often names on the node that are of no more use are taken away. Pushes wait for \
               it, for about half a second.",
    },
    Setting {
        name: "index.url",
        kind: Kind::Secret,
        default: r#""sqlite:index.sqlite""#,
        expects: "sqlite:PATH, relative to the data folder, or a postgres:// URL",
        help: "The database of look-ups. A relative path stands in the data folder. \
               Empty: the default.",
    },
    Setting {
        name: "index.postgres.max_connections",
        kind: Kind::Number,
        default: "10",
        expects: "a number of connections from 2 to 10000 such as 10",
        help: "How many connections to Postgres requests share. Up to 11 more serve what must not \
               wait for them.",
    },
    Setting {
        name: "index.postgres.acquire_timeout",
        kind: Kind::Duration,
        default: r#""5s""#,
        expects: "a duration above zero such as 5s",
        help: "How long a request waits for a connection before it is answered 503.",
    },
    Setting {
        name: "index.postgres.statement_timeout",
        kind: Kind::Duration,
        default: r#""30s""#,
        expects: "a duration above zero such as 30s",
        help: "How long a statement of a request may take. Those of commits, which may concern \
               every row, have ten minutes.",
    },
    Setting {
        name: "dnslink.servers",
        kind: Kind::List,
        default: "[]",
        expects: "up to 8 addresses such as 192.0.2.1 or 192.0.2.1:5353, or URLs such as \
                  https://192.0.2.1/dns-query",
        help: "The DNS servers by which names are looked up, in their order; the next one is asked when \
               the one before fails or is slow. A URL asks over HTTPS. Empty: those of the system.",
    },
    Setting {
        name: "dnslink.dnssec",
        kind: Kind::Flag,
        default: "false",
        expects: "true or false",
        help: "Has answers validated here, up to the keys of the DNS root. What fails counts as no \
               answer; a zone that is proven to be unsigned is taken as it is. The servers have to \
               pass signatures on.",
    },
    Setting {
        name: "dnslink.trust_anchors",
        kind: Kind::Text,
        default: r#""""#,
        expects: "a file of DNSKEY records, such as /etc/roadstead/trusted.key",
        help: "Keys that are trusted instead of those of the DNS root, for zones that only you have. \
               Empty: those of the root.",
    },
    Setting {
        name: "dnslink.https_authority",
        kind: Kind::Text,
        default: r#""""#,
        expects: "a file in PEM, such as /etc/roadstead/authority.pem",
        help: "The authorities whose certificates servers may show that are asked over HTTPS. Empty: \
               those that browsers know.",
    },
    Setting {
        name: "dnslink.ttl_floor",
        kind: Kind::Duration,
        default: r#""5s""#,
        expects: "a duration above zero and not above dnslink.ttl_ceiling, such as 5s",
        help: "How long a root is kept at least, whatever its record says.",
    },
    Setting {
        name: "dnslink.ttl_ceiling",
        kind: Kind::Duration,
        default: r#""1h""#,
        expects: "a duration of at most a week such as 1h",
        help: "How long a root is kept at most, whatever its record says.",
    },
    Setting {
        name: "dnslink.stale_for",
        kind: Kind::Duration,
        default: r#""24h""#,
        expects: "a duration of at most a year such as 24h",
        help: "How long a root that is due serves on while no server can be asked for a newer one.",
    },
    Setting {
        name: "dnslink.max_new_names_per_client",
        kind: Kind::Number,
        default: "120",
        expects: "a number from 1 to 1000000, such as 120",
        help: "How many new names are looked up for one client in a minute: names that were never \
               seen to lead anywhere. Beyond it the client gets 429.",
    },
    Setting {
        name: "dnslink.max_new_names",
        kind: Kind::Number,
        default: "1200",
        expects: "a number from 1 to 1000000, such as 1200",
        help: "How many new names are looked up for all clients together in a minute.",
    },
    Setting {
        name: "dnslink.allow_private_addresses",
        kind: Kind::Flag,
        default: "false",
        expects: "true or false",
        help: "Lets what others publish lead to this machine and its networks: for labs only.",
    },
    Setting {
        name: "auth.method",
        kind: Kind::Choice(&["open", "htpasswd"]),
        default: r#""open""#,
        expects: "open or htpasswd",
        help: "How clients sign in. open: they do not, and everybody may push, pull and delete. \
               htpasswd: by names and passwords in a file, each of which may do everything.",
    },
    Setting {
        name: "auth.allow_open",
        kind: Kind::Flag,
        default: "false",
        expects: "true or false",
        help: "Allows open access on an address that other machines can reach.",
    },
    Setting {
        name: "auth.sign_ins.waiting",
        kind: Kind::Number,
        default: "256",
        expects: "a number from 1 to 10000 such as 256",
        help: "How many passwords may wait to be checked, of which one client takes no more than are left to \
               others; beyond, sign-ins are answered 429.",
    },
    Setting {
        name: "auth.sign_ins.per_client",
        kind: Kind::Number,
        default: "32",
        expects: "a number from 1 to 10000 such as 32",
        help: "How many of them may be of one client: one address, or one network /64 of IPv6.",
    },
    Setting {
        name: "auth.sign_ins.wrong_passwords",
        kind: Kind::Number,
        default: "10",
        expects: "a number from 1 to 1000000 such as 10",
        help: "How many wrong passwords a client may send until it has to pause: a second, and twice as long \
               after each further one. They are forgotten after a quarter of an hour without another.",
    },
    Setting {
        name: "auth.sign_ins.longest_pause",
        kind: Kind::Duration,
        default: r#""60s""#,
        expects: "a duration above zero and of at most 10m such as 60s",
        help: "How long a client has to pause at the most after a wrong password.",
    },
    Setting {
        name: "auth.htpasswd.file",
        kind: Kind::Text,
        default: r#""""#,
        expects: "a file that `htpasswd -B` wrote, such as /etc/roadstead/htpasswd",
        help: "The users and the hashes of their passwords, which have to be made by bcrypt. It is \
               read again when it changes.",
    },
    Setting {
        name: "auth.htpasswd.anonymous_pull",
        kind: Kind::Flag,
        default: "false",
        expects: "true or false",
        help: "Lets everybody pull without signing in; to push, to delete and to list all \
               repositories, clients sign in all the same.",
    },
    Setting {
        name: "gateway.enabled",
        kind: Kind::Flag,
        default: "true",
        expects: "true or false",
        help: "Serves what is below the public root at /ipfs/<cid>, for other registries and for IPFS \
               nodes, and names itself for it at /routing/v1/. Where clients have to sign in to pull, it \
               is not served whatever this says.",
    },
    Setting {
        name: "gateway.root_grace",
        kind: Kind::Duration,
        default: r#""1h""#,
        expects: "a duration above zero such as 1h",
        help: "How long what is below a public root is served after another root has replaced it: \
               whoever resolved it a moment ago may still be reading.",
    },
    Setting {
        name: "federation.enabled",
        kind: Kind::Flag,
        default: "true",
        expects: "true or false",
        help: "Serves images below other people's roots, such as example.com/myorg/api, read-only.",
    },
    Setting {
        name: "federation.domains",
        kind: Kind::List,
        default: "[]",
        expects: r#"domains such as ["example.com"]"#,
        help: "The domains whose images are served, and no others; roots that are named by a CID or \
               a key are not served then. Empty: everybody's.",
    },
    Setting {
        name: "federation.anonymous",
        kind: Kind::Choice(&["", "any", "listed", "cached", "none"]),
        default: r#""""#,
        expects: "any, listed, cached or none",
        help: "What clients that have not signed in get of other people's images. any: all that the registry \
               serves. listed: those of federation.domains. cached: what is in the cache; nothing is looked \
               up or fetched for them. none: nothing. Empty: any where server.listen is an address of \
               loopback; elsewhere listed where federation.domains is set, else cached.",
    },
    Setting {
        name: "federation.hosts",
        kind: Kind::List,
        default: "[]",
        expects: r#"domains such as ["example.com"]"#,
        help: "Names by which this server is reached that stand for a domain: with example.com, a \
               request for api at that host is for example.com/api.",
    },
    Setting {
        name: "federation.gateways",
        kind: Kind::List,
        default: "[]",
        expects: r#"http or https URLs without a path, such as ["https://ipfs.example.com"]"#,
        help: "Trustless gateways that are asked for other people's images, beside those that their \
               domains name.",
    },
    Setting {
        name: "federation.cache_bytes",
        kind: Kind::Number,
        default: "10000000000",
        expects: "a number of bytes such as 10000000000",
        help: "How many bytes of the disk other people's images take in the data folder at the most; \
               the least recently used go first. What is on its way may take as much \
               again, and nothing longer than this can be pulled.",
    },
    Setting {
        name: "federation.cache_files",
        kind: Kind::Number,
        default: "1000000",
        expects: "a number of files above zero such as 1000000",
        help: "How many files of other people's images are kept at the most.",
    },
    Setting {
        name: "federation.cache_root_percent",
        kind: Kind::Number,
        default: "50",
        expects: "a percentage from 1 to 100 such as 50",
        help: "How much of federation.cache_bytes the images below one root (a domain, key or CID) may take.",
    },
    Setting {
        name: "federation.max_reads",
        kind: Kind::Number,
        default: "64",
        expects: "a number from 1 to 10000",
        help: "How much of other people's content is read at once: so many transfers, and so many links \
               and the like. What does not begin within five seconds is answered with 503.",
    },
    Setting {
        name: "federation.max_reads_per_root",
        kind: Kind::Number,
        default: "8",
        expects: "a number from 1 to 10000",
        help: "The same, of what is below one root.",
    },
    Setting {
        name: "federation.max_read_bytes",
        kind: Kind::Number,
        default: "67108864",
        expects: "a number of bytes from 8388608",
        help: "How much memory the blocks take that are being received. A quarter of it is for what is \
               below one root.",
    },
    Setting {
        name: "federation.kubo.api",
        kind: Kind::Text,
        default: r#""""#,
        expects: "a URL such as http://127.0.0.1:5001, a multiaddr such as /ip4/127.0.0.1/tcp/5001, or none",
        help: "The RPC of a Kubo node that other people's images are fetched through as well, from the nodes \
               that their domains name and whomever it finds. Empty: that of storage.kubo, where \
               storage.driver is kubo.",
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
        help: "The domain under which the public root is published, in the TXT records of \
               _dnslink.<domain> (docs/PUBLISHING.md). Empty: it is not published.",
    },
    Setting {
        name: "publish.provider",
        kind: Kind::Choice(&["", "rfc2136", "cloudflare", "exec"]),
        default: r#""""#,
        expects: "rfc2136, cloudflare or exec",
        help: "Who writes the records. rfc2136: a name server that takes dynamic updates, such as bind. \
               cloudflare: its API. exec: a program of yours.",
    },
    Setting {
        name: "publish.debounce",
        kind: Kind::Duration,
        default: r#""2s""#,
        expects: "a duration above zero such as 2s",
        help: "How long a push waits for others that are published together with it; while they keep \
               coming, at most ten times that.",
    },
    Setting {
        name: "publish.ttl",
        kind: Kind::Duration,
        default: r#""60s""#,
        expects: "a duration from a second to a day, not above publish.keep, such as 60s",
        help: "The TTL of the records: how long after a push others may still see what was before it.",
    },
    Setting {
        name: "publish.keep",
        kind: Kind::Duration,
        default: r#""24h""#,
        expects: "a duration above zero and of at most a year such as 24h",
        help: "How long a root is kept, and what is below it served, after another one was published.",
    },
    Setting {
        name: "publish.hint",
        kind: Kind::List,
        default: "[]",
        expects: r#"up to 8 multiaddrs such as ["/dns4/registry.example.com/tcp/443/tls/http"]"#,
        help: "Where others reach this registry, which is published beside the root. Empty: at \
               server.external_url, and at the public addresses of the Kubo node.",
    },
    Setting {
        name: "publish.servers",
        kind: Kind::List,
        default: "[]",
        expects: "up to 8 name servers such as 192.0.2.1, 192.0.2.1:5353 or ns.example.com",
        help: "The name servers all of which have to tell a root until it counts as published. Empty: \
               with rfc2136 the one that takes the updates, else those that the DNS names for the zone.",
    },
    Setting {
        name: "publish.rfc2136.server",
        kind: Kind::Text,
        default: r#""""#,
        expects: "a name server such as 192.0.2.1, 192.0.2.1:5353 or ns.example.com",
        help: "The primary name server of the zone, which is asked and updated over TCP.",
    },
    Setting {
        name: "publish.rfc2136.zone",
        kind: Kind::Text,
        default: r#""""#,
        expects: "a zone such as example.com",
        help: "The zone that the records are in. Empty: that of the same name as the domain.",
    },
    Setting {
        name: "publish.rfc2136.key_name",
        kind: Kind::Text,
        default: r#""""#,
        expects: "the name of a key such as roadstead",
        help: "The name of the key (TSIG) by which updates are signed.",
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
        help: "An API token that may read the zone and edit its DNS.",
    },
    Setting {
        name: "publish.cloudflare.zone",
        kind: Kind::Text,
        default: r#""""#,
        expects: "a zone such as example.com",
        help: "The zone that the records are in. Empty: the nearest one above the domain that the token \
               may see.",
    },
    Setting {
        name: "publish.cloudflare.zone_id",
        kind: Kind::Text,
        default: r#""""#,
        expects: "an id such as 023e105f4ecef8ad9ca31a8372d0c353",
        help: "The id of the zone, as its overview in the dashboard shows it: for a token that may not list \
               zones, or a zone that is not found by its name.",
    },
    Setting {
        name: "publish.cloudflare.api",
        kind: Kind::Text,
        default: r#""https://api.cloudflare.com/client/v4""#,
        expects: "an http or https URL such as https://api.cloudflare.com/client/v4",
        help: "Where the API is.",
    },
    Setting {
        name: "publish.exec.command",
        kind: Kind::List,
        default: "[]",
        expects: r#"a program and its arguments such as ["/etc/roadstead/publish", "--verbose"]"#,
        help: "The program that writes the records, and its arguments. No shell is between.",
    },
    Setting {
        name: "publish.exec.timeout",
        kind: Kind::Duration,
        default: r#""60s""#,
        expects: "a duration above zero such as 60s",
        help: "How long that program may run before it is killed, with all that it has started.",
    },
    Setting {
        name: "uploads.expire_after",
        kind: Kind::Duration,
        default: r#""7d""#,
        expects: "a duration above zero such as 7d",
        help: "How long an upload that nobody continues is kept.",
    },
    Setting {
        name: "uploads.idle_timeout",
        kind: Kind::Duration,
        default: r#""15m""#,
        expects: "a duration above zero such as 15m",
        help: "How long a client may send nothing in the middle of a layer or a manifest. Then the \
               request ends with 408; what an upload has received stays.",
    },
    Setting {
        name: "uploads.max_bytes",
        kind: Kind::Number,
        default: "100000000000",
        expects: "a number of bytes above zero such as 100000000000",
        help: "How many bytes uploads under way may have together, and so also the largest blob that can be \
               pushed. Beyond it requests that begin or continue uploads are refused with 429.",
    },
    Setting {
        name: "uploads.purge_interval",
        kind: Kind::Duration,
        default: r#""1h""#,
        expects: "a duration above zero such as 1h",
        help: "How often expired uploads are looked for.",
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
        help: "How many bytes of memory the manifests may take together that clients send or are sent. The first \
               64 KiB of each do not count. Beyond it requests for larger ones are answered with 503; beyond a \
               quarter of it those of the same client are answered with 429.",
    },
    Setting {
        name: "manifests.idle_timeout",
        kind: Kind::Duration,
        default: r#""1m""#,
        expects: "a duration above zero such as 1m",
        help: "How long a client may send nothing in the middle of a manifest of more than 64 KiB, which has to \
               arrive within ten times as long. Then the request ends with 408. Smaller ones may rest for \
               uploads.idle_timeout.",
    },
    Setting {
        name: "manifests.allow_sparse_indexes",
        kind: Kind::Flag,
        default: "false",
        expects: "true or false",
        help: "Accepts an index of images some of which were not pushed, such as a copy of one \
               platform only.",
    },
    Setting {
        name: "log.format",
        kind: Kind::Text,
        default: r#""auto""#,
        expects: "auto, human or json",
        help: "How log lines look. auto: human on a terminal, json otherwise.",
    },
    Setting {
        name: "log.level",
        kind: Kind::Text,
        default: r#""info""#,
        expects: "error, warn, info, debug, trace or off, or a list such as info,roadstead=debug",
        help: "What is logged: a level, and levels of parts of the program after it.",
    },
];
