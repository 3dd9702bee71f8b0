//! Pushes whose token ends before they do: the registry answers `invalid_token`, and clients that have a new one go on.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use roadstead::auth::Scopes;
use roadstead::auth::signed::{
    Algorithm, KeyRing, OwnTokens, SigningKey, Subject, SubjectKind, generate,
};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::clients::containerd::Containerd;
use crate::clients::image::Image;
use crate::clients::link::{Link, Manner};
use crate::clients::release::Release;
use crate::clients::skopeo::Skopeo;
use crate::clients::target::Target;
use crate::common::{Finished, Server, http, require, run, succeed};

/// How long a token is good beyond its end, for clocks that differ.
const LEEWAY: Duration = Duration::from_mins(1);

/// How long the first token is good: enough for the first requests of a push.
const LEFT: Duration = Duration::from_secs(5);

const LIFETIME: Duration = Duration::from_mins(5);

/// How long a push may take to get its first token.
const READY: Duration = Duration::from_mins(1);

/// After how many bytes of answers the link stops: the challenge, and what the first token is good for.
const STOP_AFTER: usize = 2500;

/// A token service that says of each token that it lasts five minutes; the first ones end much earlier.
struct Service {
    address: String,
    given: Arc<Mutex<Vec<String>>>,
}

impl Service {
    fn start(tokens: OwnTokens) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
        let address = listener.local_addr().expect("it is bound").to_string();
        let given: Arc<Mutex<Vec<String>>> = Arc::default();
        let all = Arc::clone(&given);
        thread::spawn(move || {
            let mut first_end: Option<SystemTime> = None;
            for mut stream in listener.incoming().flatten() {
                let Some(path) = path_of(&stream) else { continue };
                let url = reqwest::Url::parse(&format!("http://localhost{path}"));
                let url = url.expect("clients send paths");
                let scopes: Vec<String> = url
                    .query_pairs()
                    .filter(|(name, _)| name == "scope")
                    .map(|(_, scope)| scope.into_owned())
                    .collect();
                let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
                let now = SystemTime::now();
                // Clients fetch one for each of several scopes. Times in tokens are whole seconds.
                let end = *first_end.get_or_insert(now + LEFT);
                let is_early = now + Duration::from_secs(2) < end;
                let begun = if is_early { end - LEEWAY - LIFETIME } else { now };
                let subject = Subject::new(SubjectKind::User, "7", "will");
                let scopes = Scopes::requested(scopes.iter().map(String::as_str));
                let token = tokens.access(&subject, &scopes, LIFETIME, begun);
                let token = token.expect("it can be signed").text.expose_secret().to_owned();
                all.push(token.clone());
                let seconds = LIFETIME.as_secs();
                let body = json!({ "token": token, "access_token": token, "expires_in": seconds });
                let body = body.to_string();
                let length = body.len();
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\
                     Content-Length: {length}\r\nConnection: close\r\n\r\n"
                );
                let _ = stream.write_all(format!("{head}{body}").as_bytes());
            }
        });
        Self { address, given }
    }

    fn given(&self) -> Vec<String> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Reads the head of a GET, and returns its path; none for something else.
fn path_of(stream: &TcpStream) -> Option<String> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let first = lines.next()?;
    let mut words = first.split(' ');
    let is_get = words.next() == Some("GET");
    let path = words.next()?.to_owned();
    // To its end, or the connection would break.
    lines.find(String::is_empty)?;
    is_get.then_some(path)
}

/// A registry whose clients fetch tokens of a service, and the link between them.
struct Registry {
    // Fields are dropped in this order: the server goes before what it reads.
    link: Link,
    server: Server,
    service: Service,
    _folder: TempDir,
}

impl Registry {
    fn start() -> Self {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let bytes = generate(Algorithm::EdDsa).expect("a key can be made");
        let key = SigningKey::from_pkcs8(Algorithm::EdDsa, bytes.expose_secret());
        let ring = KeyRing::new(key.expect("it is a key"), Vec::new());
        let keys = folder.path().join("jwks.json");
        std::fs::write(&keys, ring.public_set().to_string()).expect("the folder is ours");
        let service = Service::start(OwnTokens::new("service", "registry", ring));
        let settings = [
            ("REALM", format!("http://{}/token", service.address)),
            ("SERVICE", "registry".to_owned()),
            ("ISSUER", "service".to_owned()),
            ("JWKS_FILE", keys.display().to_string()),
        ];
        let server = Server::start_with(move |command: &mut Command| {
            command.env("ROADSTEAD_AUTH__METHOD", "token");
            for (name, value) in &settings {
                command.env(format!("ROADSTEAD_AUTH__TOKEN__{name}"), value);
            }
        });
        let manner = Manner { stop_after: STOP_AFTER, ..Manner::default() };
        let link = Link::start(server.address(), manner);
        Self { link, server, service, _folder: folder }
    }

    /// Lets the link go on once the first token has ended.
    fn go_on_after_the_end(&self) {
        let begun = Instant::now();
        let first = loop {
            if let Some(first) = self.service.given().first() {
                break first.clone();
            }
            assert!(begun.elapsed() < READY, "no token was fetched");
            thread::sleep(Duration::from_millis(50));
        };
        let url = self.server.url("/v2/");
        while http::send(|client| client.get(&url).bearer_auth(&first)).status != 401 {
            assert!(begun.elapsed() < READY, "the token does not end");
            thread::sleep(Duration::from_millis(50));
        }
        self.link.go_on();
    }

    /// Has a client push beyond the life of its token.
    fn push(&self, push: impl FnOnce() -> Finished + Send) -> Finished {
        thread::scope(|scope| {
            let pushing = scope.spawn(push);
            self.go_on_after_the_end();
            pushing.join().expect("it comes to an end")
        })
    }

    /// The statuses of the requests about the repository, in order.
    fn statuses(&self) -> Vec<u64> {
        let log = self.server.log();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        // A request whose token is refused has no repository yet.
        let requests = lines.filter(|line| {
            let message = line["message"].as_str().unwrap_or_default();
            line.get("duration_ms").is_some() && message.contains(" /v2/team/app/")
        });
        requests.filter_map(|line| line["status"].as_u64()).collect()
    }

    /// Expects that the first token was good for something, and that its end was met.
    fn expect_the_end_in_between(&self) {
        let statuses = self.statuses();
        let good = statuses.iter().position(|status| *status != 401);
        let ended = statuses.iter().rposition(|status| *status == 401);
        assert!(good.is_some() && good < ended, "{statuses:?}");
        let count = self.service.given().len();
        assert!(count >= 2, "{count} tokens");
    }
}

#[test]
fn containerd_goes_on_with_a_new_token_when_the_first_one_ends_in_mid_push() {
    let Some(busybox) = require("busybox") else { return };
    let registry = Registry::start();
    let target = Target::open(&registry.link.address());
    let Some(containerd) = Containerd::start(Release::Newest, &target) else { return };
    let layout = Image::new(&busybox).write_layout();
    let archive = layout.path().join("image.tar");
    let mut tar = Command::new("tar");
    tar.arg("--create").arg("--file").arg(&archive).arg("--directory").arg(layout.path());
    succeed(tar.args(["oci-layout", "index.json", "blobs"]));
    let reference = target.reference("team/app:v1");
    let archive = archive.display().to_string();
    succeed(&mut containerd.command(&["images", "import", "--index-name", &reference, &archive]));
    let pushed = registry.push(|| run(&mut containerd.remote("push", &reference)));
    assert!(pushed.succeeded(), "{pushed}: {:?}", registry.statuses());
    registry.expect_the_end_in_between();
}

/// skopeo holds a token good as long as it was told, and ends; what it has pushed is there when it comes again.
#[test]
fn skopeo_ends_with_its_token_and_pushes_the_rest_when_it_comes_again() {
    let Some(busybox) = require("busybox") else { return };
    let registry = Registry::start();
    let target = Target::open(&registry.link.address());
    let Some(skopeo) = Skopeo::find(&target) else { return };
    let layout = Image::new(&busybox).write_layout();
    let reference = target.reference("team/app:v1");
    let pushed = registry.push(|| run(&mut skopeo.push_command(&layout, &reference)));
    assert!(!pushed.succeeded(), "{pushed}");
    succeed(&mut skopeo.push_command(&layout, &reference));
    registry.expect_the_end_in_between();
}
