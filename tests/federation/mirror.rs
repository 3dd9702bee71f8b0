//! A registry that clients use as the mirror of a domain (containerd's `?ns=`) for images of its own.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use reqwest::Method;
use reqwest::header::{HOST, RANGE};

use crate::common::Server;
use crate::common::content::sha256;
use crate::common::http::{self, Response};
use crate::common::repository::{Pushed, Repository, assert_refused, wait};
use crate::federation::operators::{DOMAIN, Operators};

/// A domain that has a zone, and no record in it.
const NOTHING: &str = "other.test";

/// A name server that answers nothing, and counts the questions.
struct Silence {
    address: String,
    questions: Arc<AtomicUsize>,
}

impl Silence {
    fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap().to_string();
        let questions = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&questions);
        thread::spawn(move || {
            while socket.recv(&mut [0; 1024]).is_ok() {
                count.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self { address, questions }
    }

    /// A server that has no other one to ask.
    fn server(&self) -> Server {
        let servers = self.address.clone();
        Server::start_with(move |command| {
            command
                .env("ROADSTEAD_DNSLINK__SERVERS", &servers)
                .env("ROADSTEAD_FEDERATION__KUBO__API", "none");
        })
    }

    fn questions(&self) -> usize {
        self.questions.load(Ordering::SeqCst)
    }
}

/// Checks that everything of an image is read on behalf of a domain, as the registry's own.
fn assert_own(own: &Repository, pushed: &Pushed, domain: &str) {
    let layer = sha256(&pushed.layer);
    for (rest, body) in [
        ("manifests/v1".to_owned(), pushed.manifest.clone()),
        (format!("manifests/{}", pushed.digest), pushed.manifest.clone()),
        (format!("blobs/{layer}"), pushed.layer.clone()),
        ("tags/list".to_owned(), own.get("tags/list").body),
        (format!("referrers/{layer}"), own.get(&format!("referrers/{layer}")).body),
    ] {
        let rest = format!("{rest}?ns={domain}");
        let got = own.get(&rest);
        assert_eq!((got.status, &got.body), (200, &body), "{rest}: {}", got.text());
        assert_eq!(got.header("oci-namespace"), "", "{rest}");
        if !rest.starts_with("tags") && !rest.starts_with("referrers") {
            let head = own.head(&rest);
            assert_eq!((head.status, head.header("oci-namespace")), (200, ""), "{rest}");
            assert_eq!(head.header("content-length"), body.len().to_string(), "{rest}");
        }
    }
    let blob = format!("blobs/{layer}?ns={domain}");
    let part = own.send(Method::GET, &blob, |request| request.header(RANGE, "bytes=1-2"));
    assert_eq!((part.status, part.body.as_slice()), (206, &pushed.layer[1..3]));
    assert_refused(&own.get(&format!("manifests/v2?ns={domain}")), 404, "MANIFEST_UNKNOWN");
}

/// Checks that an answer says what to set.
fn assert_names_the_settings(response: &Response) {
    let text = response.text();
    for setting in ["server.domains", "federation.enabled"] {
        assert!(text.contains(setting), "{text}");
    }
}

/// A4: containerd's mirror of docker.io had none of its images.
#[test]
fn an_own_repository_answers_for_a_domain_that_publishes_nothing() {
    let operators = Operators::start_with(|command| {
        command.env("ROADSTEAD_FEDERATION__HOSTS", NOTHING);
    });
    let Some(operators) = operators else { return };
    let own = Repository::of(&operators.other, "library/demo");
    let pushed = own.push_image("v1", "word");
    assert_own(&own, &pushed, NOTHING);
    // By whatever name a client knows a registry: a host with its port, an address, a domain in capitals.
    for name in ["Other.TEST", "127.0.0.1", "192.0.2.1:5000", "localhost:5000", "[::1]:5000", "k3s"]
    {
        assert_own(&own, &pushed, name);
    }
    // No repository of that name, by any route.
    let absent = Repository::of(&operators.other, "library/absent");
    for rest in ["manifests/v1", "tags/list", &format!("blobs/{}", pushed.digest)] {
        let refused = absent.get(&format!("{rest}?ns={NOTHING}"));
        assert_refused(&refused, 404, "NAME_UNKNOWN");
        assert_names_the_settings(&refused);
    }
    // A host says whose images are meant, and a push is for there.
    let url = operators.other.url("/v2/library/demo/manifests/v1");
    let by_host = http::send(|client| client.get(&url).header(HOST, NOTHING));
    assert_refused(&by_host, 404, "NAME_UNKNOWN");
    let push = own.post(&format!("blobs/uploads/?ns={NOTHING}"));
    assert_refused(&push, 403, "DENIED");
}

#[test]
fn a_domain_that_has_published_keeps_its_names() {
    let Some(mut operators) = Operators::start() else { return };
    let theirs = operators.own("team/app").push_image("v1", "theirs");
    operators.publish();
    let get = |operators: &Operators| {
        let own = Repository::of(&operators.other, "team/app");
        own.get(&format!("manifests/v1?ns={DOMAIN}"))
    };
    let ours = Repository::of(&operators.other, "team/app").push_image("v1", "ours");
    let found = get(&operators);
    assert_eq!((found.status, &found.body), (200, &theirs.manifest), "{}", found.text());
    assert_eq!(found.header("oci-namespace"), DOMAIN);
    // What they do not have is not ours either.
    let own = Repository::of(&operators.other, "team/more");
    own.push_image("v1", "more");
    assert_refused(&own.get(&format!("manifests/v1?ns={DOMAIN}")), 404, "MANIFEST_UNKNOWN");
    // The last root serves on.
    operators.dns.stop();
    thread::sleep(Duration::from_millis(1500));
    assert_eq!(get(&operators).body, theirs.manifest);
    operators.other.stop();
    operators.other.start_again();
    assert_eq!(get(&operators).body, theirs.manifest);
    let own = Repository::of(&operators.other, "team/app");
    assert_eq!(own.get("manifests/v1").body, ours.manifest);
}

#[test]
fn a_domain_that_publishes_nothing_any_more_keeps_its_names() {
    let Some(mut operators) = Operators::start() else { return };
    let theirs = operators.own("team/app").push_image("v1", "theirs");
    operators.publish();
    Repository::of(&operators.other, "team/app").push_image("v1", "ours");
    let get = |operators: &Operators| {
        let own = Repository::of(&operators.other, "team/app");
        own.get(&format!("manifests/v1?ns={DOMAIN}"))
    };
    assert_eq!(get(&operators).body, theirs.manifest);
    operators.dns.update(DOMAIN, &format!("update delete _dnslink.{DOMAIN} TXT"));
    wait(|| get(&operators).status == 404, "the record is gone");
    assert_refused(&get(&operators), 404, "NAME_UNKNOWN");
    operators.other.stop();
    operators.other.start_again();
    assert_refused(&get(&operators), 404, "NAME_UNKNOWN");
    operators.dns.stop();
    operators.other.stop();
    operators.other.start_again();
    assert_refused(&get(&operators), 504, "UNAVAILABLE");
}

#[test]
fn an_own_repository_answers_for_a_domain_that_is_not_served() {
    let operators = Operators::start_with(|command| {
        command.env("ROADSTEAD_FEDERATION__DOMAINS", "elsewhere.test");
    });
    let Some(operators) = operators else { return };
    operators.own("team/app").push_image("v1", "theirs");
    operators.publish();
    let own = Repository::of(&operators.other, "team/app");
    let pushed = own.push_image("v1", "ours");
    assert_own(&own, &pushed, DOMAIN);
    let absent = Repository::of(&operators.other, "team/absent");
    assert_refused(&absent.get(&format!("manifests/v1?ns={DOMAIN}")), 403, "DENIED");
}

#[test]
fn a_silent_dns_keeps_an_own_repository_waiting_only_once() {
    let dns = Silence::start();
    let server = dns.server();
    let own = Repository::of(&server, "library/demo");
    let pushed = own.push_image("v1", "word");
    let fastest = (0..3).map(|number| {
        let begun = Instant::now();
        let got = own.get(&format!("manifests/v1?ns=n{number}.test"));
        assert_eq!((got.status, &got.body), (200, &pushed.manifest), "{}", got.text());
        begun.elapsed()
    });
    let fastest = fastest.min().unwrap();
    assert!(fastest < Duration::from_millis(2500), "{fastest:?}: as long as the DNS may take");
    // The look-ups go on for a while.
    let mut questions = dns.questions();
    assert!(questions > 0);
    wait(
        || {
            thread::sleep(Duration::from_secs(1));
            std::mem::replace(&mut questions, dns.questions()) == questions
        },
        "the name server is asked for ever",
    );
    for number in 0..3 {
        assert_own(&own, &pushed, &format!("n{number}.test"));
    }
    assert_eq!(dns.questions(), questions, "a failed look-up counts for a while");
    // Nor does the next one wait where there is nothing.
    let absent = Repository::of(&server, "library/absent");
    for _ in 0..2 {
        let refused = absent.get("manifests/v1?ns=n0.test");
        assert_refused(&refused, 504, "UNAVAILABLE");
        assert_names_the_settings(&refused);
    }
    assert_eq!(dns.questions(), questions);
}
