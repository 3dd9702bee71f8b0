//! The routes of the router, each with a request that changes nothing, and what is answered to who may send it.

use std::collections::BTreeSet;

use regex_lite::Regex;
use reqwest::Method;

use super::super::super::common::content::{NOBODYS, OCI_MANIFEST};

/// What of a repository a request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    Pull,
    Push,
    Delete,
    /// Nothing: it is refused for what it is.
    None,
}

impl Act {
    /// Which of the letters of a cell is the answer to it.
    pub(super) fn letter(self, cell: &str) -> char {
        let position = match self {
            Self::Pull => 0,
            Self::Push => 1,
            Self::Delete => 2,
            Self::None if cell.contains('X') => return 'X',
            Self::None => return 'A',
        };
        cell.chars().nth(position).expect("a cell has three letters")
    }
}

/// What a route serves that is the same for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    /// What is public.
    Content,
    /// The state of the server.
    Server,
}

/// A request.
#[derive(Debug)]
pub(super) struct Probe {
    pub(super) method: &'static str,
    /// The route as the router has it.
    route: &'static str,
    /// The path, with names in braces.
    pub(super) path: &'static str,
    pub(super) act: Act,
    /// The status for who may, where the repository is there.
    pub(super) present: u16,
    /// The status for who may, where it is not.
    pub(super) absent: u16,
    pub(super) body: &'static str,
    pub(super) content_type: &'static str,
    /// Whether the answer is of a manifest or a blob.
    pub(super) has_content: bool,
    /// Which letter of the row of a sender is the answer.
    pub(super) column: usize,
    pub(super) subject: Subject,
}

impl Probe {
    pub(super) fn method(&self) -> Method {
        self.method.parse().expect("it is one")
    }

    pub(super) fn path(&self, name: &str, blob: &str, manifest: &str) -> String {
        let path = self.path.replace("{blob}", blob).replace("{manifest}", manifest);
        format!("/v2/{name}/{}", path.replace("{nobodys}", NOBODYS))
    }

    pub(super) fn text(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

const MANIFESTS: &str = "/v2/{name:.+}/manifests/{reference}";
const BLOBS: &str = "/v2/{name:.+}/blobs/{digest}";
const TAGS: &str = "/v2/{name:.+}/tags/list";
const REFERRERS: &str = "/v2/{name:.+}/referrers/{digest}";
const UPLOADS: &str = "/v2/{name:.+}/blobs/uploads/";
const UPLOADS_TOO: &str = "/v2/{name:.+}/blobs/uploads";
const UPLOAD: &str = "/v2/{name:.+}/blobs/uploads/{upload}";
const ID: &str = "blobs/uploads/00000000-0000-4000-8000-000000000000";
const END: &str = "blobs/uploads/00000000-0000-4000-8000-000000000000?digest={nobodys}";

const fn image(
    method: &'static str,
    route: &'static str,
    path: &'static str,
    act: Act,
    [present, absent]: [u16; 2],
) -> Probe {
    let (body, content_type, subject) = ("", OCI_MANIFEST, Subject::Content);
    let has_content = false;
    Probe {
        method,
        route,
        path,
        act,
        present,
        absent,
        body,
        content_type,
        has_content,
        column: 0,
        subject,
    }
}

impl Probe {
    const fn sending(self, body: &'static str, content_type: &'static str) -> Self {
        Self { body, content_type, ..self }
    }

    const fn with_content(self) -> Self {
        Self { has_content: true, ..self }
    }

    const fn of_server(self) -> Self {
        Self { subject: Subject::Server, ..self }
    }
}

use Act::{Delete, None, Pull, Push};

/// What is about a repository.
pub(super) const IMAGES: &[Probe] = &[
    image("GET", MANIFESTS, "manifests/v1", Pull, [200, 404]).with_content(),
    image("GET", MANIFESTS, "manifests/{manifest}", Pull, [200, 404]).with_content(),
    image("GET", MANIFESTS, "manifests/absent", Pull, [404, 404]),
    image("HEAD", MANIFESTS, "manifests/v1", Pull, [200, 404]).with_content(),
    // What is no manifest, so that none is made.
    image("PUT", MANIFESTS, "manifests/v2", Push, [400, 400]).sending("{}", OCI_MANIFEST),
    image("DELETE", MANIFESTS, "manifests/{nobodys}", Delete, [404, 404]),
    image("DELETE", MANIFESTS, "manifests/absent", Delete, [404, 404]),
    image("GET", TAGS, "tags/list", Pull, [200, 404]),
    image("HEAD", TAGS, "tags/list", Pull, [200, 404]),
    image("GET", REFERRERS, "referrers/{manifest}", Pull, [200, 200]),
    image("HEAD", REFERRERS, "referrers/{manifest}", Pull, [200, 200]),
    image("POST", UPLOADS, "blobs/uploads/", Push, [202, 202]),
    image("POST", UPLOADS, "blobs/uploads/?mount={nobodys}&from=team/secret", Push, [202, 202]),
    image("POST", UPLOADS_TOO, "blobs/uploads", Push, [202, 202]),
    image("GET", UPLOAD, ID, Push, [404, 404]),
    image("HEAD", UPLOAD, ID, Push, [404, 404]),
    image("PATCH", UPLOAD, ID, Push, [404, 404]),
    image("PUT", UPLOAD, END, Push, [404, 404]),
    image("DELETE", UPLOAD, ID, Push, [404, 404]),
    image("GET", BLOBS, "blobs/{blob}", Pull, [200, 404]).with_content(),
    image("HEAD", BLOBS, "blobs/{blob}", Pull, [200, 404]).with_content(),
    image("DELETE", BLOBS, "blobs/{nobodys}", Delete, [404, 404]),
    // What no route has.
    image("POST", "refused", "manifests/v1", None, [405, 405]),
    image("PATCH", "refused", "blobs/{blob}", None, [405, 405]),
    image("POST", "refused", "tags/list", None, [405, 405]),
    image("GET", "refused", "blobs/uploads/", None, [405, 405]),
    image("GET", "refused", "other", None, [404, 404]),
];

const fn server(
    method: &'static str,
    route: &'static str,
    path: &'static str,
    column: usize,
) -> Probe {
    Probe { column, ..image(method, route, path, None, [200, 200]) }
}

/// What is about no repository: whether it is the registry, the catalog, the metrics, the management API, tokens.
pub(super) const SERVER: &[Probe] = &[
    server("GET", "/v2", "/v2", 0),
    server("HEAD", "/v2", "/v2", 0),
    server("GET", "/v2/", "/v2/", 0),
    server("HEAD", "/v2/", "/v2/", 0),
    server("GET", "/v2/_catalog", "/v2/_catalog", 1),
    server("HEAD", "/v2/_catalog", "/v2/_catalog", 1),
    server("GET", "/metrics", "/metrics", 2),
    server("HEAD", "/metrics", "/metrics", 2),
    server("POST", "/graphql", "/graphql", 3)
        .sending("{\"query\": \"{ viewer { name } }\"}", "application/json"),
    server("GET", "/v2/token", "/v2/token", 4),
];

const fn shared(
    method: &'static str,
    route: &'static str,
    path: &'static str,
    statuses: [u16; 2],
) -> Probe {
    image(method, route, path, None, statuses)
}

const CONTENT: &str = "/ipfs/{cid}";
const BELOW: &str = "/ipfs/{cid}/{path:.*}";
const RECORD: &str = "/ipns/{key}";
const RECORD_BELOW: &str = "/ipns/{key}/{path:.*}";
const PROVIDERS: &str = "/routing/v1/providers/{cid}";
const PEERS: &str = "/routing/v1/peers/{id}";
const KEYS: &str = "/.well-known/jwks.json";

/// A key that this registry has not looked up.
const KEY: &str =
    "/ipns/k51qzi5uqu5dgutdk6i1ynyzgkqngpha5xpgia3a5qqp4jsh0u4csozksxel2r?format=ipns-record";
const KEY_BELOW: &str = "/ipns/k51qzi5uqu5dgutdk6i1ynyzgkqngpha5xpgia3a5qqp4jsh0u4csozksxel2r/x";
const PEER: &str =
    "/routing/v1/peers/k51qzi5uqu5dgutdk6i1ynyzgkqngpha5xpgia3a5qqp4jsh0u4csozksxel2r";

/// What is the same for all, with the statuses of what is public and of what is not.
pub(super) const SHARED: &[Probe] = &[
    shared("GET", CONTENT, "/ipfs/{cid}?format=raw", [200, 404]),
    shared("HEAD", CONTENT, "/ipfs/{cid}?format=raw", [200, 404]),
    shared("GET", BELOW, "/ipfs/{cid}/?format=car", [200, 404]),
    shared("HEAD", BELOW, "/ipfs/{cid}/?format=car", [200, 404]),
    shared("OPTIONS", CONTENT, "/ipfs/{cid}", [204, 204]).of_server(),
    shared("OPTIONS", BELOW, "/ipfs/{cid}/x", [204, 204]).of_server(),
    shared("GET", RECORD, KEY, [404, 404]).of_server(),
    shared("HEAD", RECORD, KEY, [404, 404]).of_server(),
    shared("OPTIONS", RECORD, KEY, [204, 204]).of_server(),
    shared("GET", RECORD_BELOW, KEY_BELOW, [400, 400]).of_server(),
    shared("HEAD", RECORD_BELOW, KEY_BELOW, [400, 400]).of_server(),
    shared("OPTIONS", RECORD_BELOW, KEY_BELOW, [204, 204]).of_server(),
    shared("GET", PROVIDERS, "/routing/v1/providers/{cid}", [200, 200]),
    shared("HEAD", PROVIDERS, "/routing/v1/providers/{cid}", [200, 200]),
    shared("OPTIONS", PROVIDERS, "/routing/v1/providers/{cid}", [204, 204]).of_server(),
    shared("GET", PEERS, PEER, [200, 200]).of_server(),
    shared("HEAD", PEERS, PEER, [200, 200]).of_server(),
    shared("OPTIONS", PEERS, PEER, [204, 204]).of_server(),
    shared("GET", KEYS, KEYS, [200, 200]).of_server(),
    shared("HEAD", KEYS, KEYS, [200, 200]).of_server(),
    shared("GET", "/healthz", "/healthz", [200, 200]).of_server(),
    shared("HEAD", "/healthz", "/healthz", [200, 200]).of_server(),
    shared("GET", "/readyz", "/readyz", [200, 200]).of_server(),
    shared("HEAD", "/readyz", "/readyz", [200, 200]).of_server(),
    // There is an administrator.
    shared("GET", "/setup", "/setup", [404, 404]).of_server(),
    shared("HEAD", "/setup", "/setup", [404, 404]).of_server(),
    shared("POST", "/setup", "/setup", [400, 400]).of_server(),
];

/// A route and one of its methods.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RouteKey {
    pub(super) method: String,
    pub(super) route: String,
}

impl RouteKey {
    fn new(method: &str, route: &str) -> Self {
        let method = if route == "refused" { route } else { method };
        Self { method: method.to_owned(), route: route.to_owned() }
    }
}

/// Those that have a row; tokens by POST are requested beside them.
pub(super) fn all() -> impl Iterator<Item = RouteKey> {
    let probes = IMAGES.iter().chain(SERVER).chain(SHARED);
    let by_post = RouteKey::new("POST", "/v2/token");
    probes.map(|probe| RouteKey::new(probe.method, probe.route)).chain([by_post])
}

/// Those that the router has, by its source.
pub(super) fn of_the_router() -> BTreeSet<RouteKey> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/http/mod.rs");
    let source = std::fs::read_to_string(path).expect("it is there");
    let resource = Regex::new(
        r#"\b(below|resource|shared)\(\s*"([^"]*)"\s*(?:,\s*(READ|"[^"]*"))?\s*,?\s*\)"#,
    );
    let resource = resource.expect("it is an expression");
    let mut found = BTreeSet::new();
    let mut count = 0;
    for one in resource.captures_iter(&source) {
        count += 1;
        let text = |number: usize| one.get(number).map(|it| it.as_str()).unwrap_or_default();
        let last = text(3).trim_matches('"');
        let (route, methods) = match text(1) {
            "below" => (format!("/v2{}", text(2)), last),
            "shared" => (format!("{}{last}", text(2)), "GET, HEAD, OPTIONS"),
            _ => (text(2).to_owned(), last),
        };
        let methods = if methods == "READ" { "GET, HEAD" } else { methods };
        assert!(!methods.is_empty(), "{route} has no methods");
        found.extend(methods.split(", ").map(|method| RouteKey::new(method, &route)));
    }
    // Four of them are scopes of others.
    assert_eq!(source.matches(".service(").count() - 4, count, "a service is written otherwise");
    found
}
