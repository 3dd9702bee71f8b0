//! A registry for one test, with what the test wants to know of it.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use bcrypt::Version;
use roadstead::client::{Client, ClientErrorKind, FetchedManifest, Referrer, Repository};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::clients::face::{self, Face, Guests};
use crate::clients::target::{Target, User};
use crate::common::client::{self, block_on};
use crate::common::{Server, authority, is_over_kubo};

/// Whom a registry knows that asks for passwords.
const USER: User = User { name: "anna", password: "open: Sesame" };

/// How long a line of the log may come after the answer that it is about.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A registry of the test's own.
pub(crate) struct Registry {
    // Fields are dropped in this order: the server goes before what it reads.
    server: Server,
    _folder: TempDir,
    target: Target,
}

/// A request that the registry answered.
#[derive(Debug)]
pub(crate) struct Request {
    /// Its method and path: `GET /v2/`.
    pub(crate) line: String,
    pub(crate) status: u64,
    pub(crate) received: u64,
}

impl Registry {
    /// A registry that speaks plain HTTP and serves everybody.
    pub(crate) fn start() -> Self {
        Self::start_as(face::OPEN)
    }

    /// A registry of that face.
    pub(crate) fn start_as(face: Face) -> Self {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let write = |name: &str, text: String| {
            let path = folder.path().join(name);
            fs::write(&path, text).expect("a file can be written");
            path.display().to_string()
        };
        let mut settings = Vec::new();
        match face.guests {
            Guests::All => {}
            Guests::None | Guests::Pulling => {
                settings.push(("AUTH__METHOD", "htpasswd".to_owned()));
                settings.push(("AUTH__HTPASSWD__FILE", write("htpasswd", line(USER))));
                let pull = (face.guests == Guests::Pulling).to_string();
                settings.push(("AUTH__HTPASSWD__ANONYMOUS_PULL", pull));
            }
            Guests::Strangers => {
                settings.push(("AUTH__METHOD", "accounts".to_owned()));
                settings.push(("AUTH__ACCOUNTS__ADMIN", USER.name.to_owned()));
                settings.push(("AUTH__ACCOUNTS__ADMIN_PASSWORD", USER.password.to_owned()));
                // A node gives what it has to everybody who knows a CID.
                let visibility = if is_over_kubo() { "public" } else { "private" };
                settings.push(("AUTH__ACCOUNTS__DEFAULT_VISIBILITY", visibility.to_owned()));
            }
        }
        if face.is_encrypted {
            let (certificate, key) = authority::issue();
            settings.push(("SERVER__TLS__CERTIFICATE", write("cert.pem", certificate)));
            settings.push(("SERVER__TLS__KEY", write("key.pem", key)));
            // docker knows an encrypted registry by that name.
            settings.push(("SERVER__HOSTS", authority::NAME.to_owned()));
        }
        let configure = move |command: &mut Command| {
            for (name, value) in &settings {
                command.env(format!("ROADSTEAD_{name}"), value);
            }
        };
        let server = if face.is_encrypted {
            Server::start_encrypted(configure)
        } else {
            Server::start_with(configure)
        };
        let mut target = Target::of(&server);
        if face.is_encrypted {
            target = target.encrypted(authority::certificate());
        }
        if face.guests != Guests::All {
            target = target.of_user(Some(USER));
        }
        Self { server, _folder: folder, target }
    }

    /// What its clients have to be told.
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// What a client has to be told that is not to sign in.
    pub(crate) fn target_of_strangers(&self) -> Target {
        self.target.clone().of_user(None)
    }

    /// What a client has to be told that has the password wrong.
    pub(crate) fn target_of_liars(&self) -> Target {
        self.target.clone().of_user(Some(User { password: "open: sesame", ..USER }))
    }

    /// As [`Target::reference`].
    pub(crate) fn reference(&self, name: &str) -> String {
        self.target.reference(name)
    }

    /// The manifest that `reference` names, if there is one.
    pub(crate) fn find(&self, repository: &str, reference: &str) -> Option<FetchedManifest> {
        let reference = reference.parse().expect("it is a reference");
        match block_on(self.repository(repository).manifest(&reference)) {
            Ok(manifest) => Some(manifest),
            Err(error) if error.kind == ClientErrorKind::NotFound => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// The JSON of the manifest that `reference` names; panics when there is none.
    pub(crate) fn manifest(&self, repository: &str, reference: &str) -> Value {
        let found = self.find(repository, reference).expect("it was pushed");
        serde_json::from_slice(&found.bytes).expect("a manifest is JSON")
    }

    /// The digest of the manifest that `reference` names; panics when there is none.
    pub(crate) fn digest(&self, repository: &str, reference: &str) -> String {
        self.find(repository, reference).expect("it was pushed").digest.to_string()
    }

    /// The digest of the config of an image, by which clients know the image in their stores.
    pub(crate) fn config(&self, repository: &str, reference: &str) -> String {
        let manifest = self.manifest(repository, reference);
        manifest["config"]["digest"].as_str().expect("an image has a config").to_owned()
    }

    /// The names of all repositories.
    pub(crate) fn repositories(&self) -> Vec<String> {
        texts(block_on(self.client().repositories().all()))
    }

    /// The tags of a repository.
    pub(crate) fn tags(&self, repository: &str) -> Vec<String> {
        texts(block_on(self.repository(repository).tags().all()))
    }

    /// What refers to the manifest.
    pub(crate) fn referrers(&self, repository: &str, digest: &str) -> Vec<Referrer> {
        let digest = digest.parse().expect("it is a digest");
        let listed = block_on(self.repository(repository).referrers(&digest, None));
        listed.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Signs in as the user, where the registry wants one.
    fn client(&self) -> Client {
        let user = self.target.user().map(|user| (user.name, user.password));
        client::client(&self.target.url(""), user)
    }

    fn repository(&self, name: &str) -> Repository {
        client::repository(&self.client(), name)
    }

    /// What the server has written to its log so far.
    pub(crate) fn log(&self) -> String {
        self.server.log()
    }

    /// What was asked about a repository, once the push of a manifest to it was logged.
    pub(crate) fn push_of(&self, repository: &str) -> Vec<Request> {
        let manifests = format!("PUT /v2/{repository}/manifests/");
        let begun = Instant::now();
        loop {
            let requests = self.requests(repository);
            if requests.iter().any(|request| request.line.starts_with(&manifests)) {
                return requests;
            }
            let waited = begun.elapsed();
            assert!(waited < TIMEOUT, "nothing was pushed to {repository}: {requests:?}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn requests(&self, repository: &str) -> Vec<Request> {
        // The log is written beside the requests.
        let mut lines = self.server.log();
        loop {
            thread::sleep(Duration::from_millis(50));
            let later = self.server.log();
            if later == lines {
                break;
            }
            lines = later;
        }
        lines
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .filter(|line: &Value| {
                line.get("duration_ms").is_some() && line["repository"] == json!(repository)
            })
            .map(|line| Request {
                line: line["message"].as_str().expect("a line has a message").to_owned(),
                status: line["status"].as_u64().unwrap_or_default(),
                received: line["received_bytes"].as_u64().expect("a line has a size"),
            })
            .collect()
    }
}

impl Request {
    /// Whether it brought a part of a blob.
    pub(crate) fn is_upload(&self) -> bool {
        self.line.contains("/blobs/uploads/") && self.received > 0
    }

    /// Whether it made a blob of another repository one of this.
    pub(crate) fn is_mount(&self) -> bool {
        self.line.starts_with("POST ") && self.status == 201 && self.received == 0
    }
}

/// A line of a password file.
fn line(user: User) -> String {
    let hash = bcrypt::hash_with_result(user.password, 4).expect("4 is a cost");
    format!("{}:{}\n", user.name, hash.format_for_version(Version::TwoY))
}

fn texts<T: ToString>(list: roadstead::client::Result<Vec<T>>) -> Vec<String> {
    let list = list.unwrap_or_else(|error| panic!("{error}"));
    list.iter().map(ToString::to_string).collect()
}
