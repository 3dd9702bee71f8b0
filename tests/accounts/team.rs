//! A registry with accounts: those of a team, its strangers, its robot and its tokens.

use std::path::Path;
use std::process::Command;

use bcrypt::Version;
use reqwest::Method;
use roadstead::auth::accounts::AccessToken;
use roadstead::index::{
    Actor, Added, Changed, Holder, Index, NewAccessToken, NewGrant, NewRobot, NewUser,
};
use roadstead::oci::Visibility;
use secrecy::ExposeSecret;
use serde_json::Value;
use tempfile::TempDir;

use crate::common::Server;
use crate::common::content::{OCI_MANIFEST, image, sha256};
use crate::common::http::{self, Response};

pub(super) const NOW: i64 = 1_700_000_000_000;

/// The password of everybody.
pub(super) const PASSWORD: &str = "open: Sesame, 12 & ü";

/// Who sends a request.
#[derive(Debug, Clone)]
pub(super) enum Sender {
    Nobody,
    Basic(String, String),
    Bearer(String),
}

/// A user who signs in by the password.
pub(super) fn user(name: &str) -> Sender {
    Sender::Basic(name.to_owned(), PASSWORD.to_owned())
}

/// What the index gave out.
#[derive(Debug, Clone, Default)]
pub(super) struct Secrets {
    pub(super) will: i64,
    pub(super) robot: i64,
    /// Of the robot `ci` in `team`: to pull and push there.
    pub(super) of_robot: String,
    /// Of Anna: to pull in `team`.
    pub(super) of_anna: String,
}

/// Fills an index: Anna owns `team`, where Will is a writer and Rita a reader; Carl is a stranger. The repositories
/// `team/secret`, `team/inner` and `team/open` are as their names say.
pub(super) async fn fill(index: &Index) -> Secrets {
    // Else its repositories would be those of a registry of an earlier version.
    let recorded = index.ensure_sign_in_method("accounts", &Actor::default(), NOW).await;
    assert_eq!(recorded.expect("it can be recorded"), "accounts");
    let hash = bcrypt::hash_with_result(PASSWORD, 4).expect("4 is a cost");
    let hash = hash.format_for_version(Version::TwoY).into();
    let actor = Actor::default();
    let mut ids = Vec::new();
    for name in ["root", "anna", "will", "rita", "carl"] {
        let user = NewUser { name, password: Some(&hash), is_admin: name == "root" };
        ids.push(id(index.add_user(&user, &actor, NOW).await.expect("it can be added")));
    }
    let [_, anna, will, rita, _] = ids[..] else { unreachable!("there are five") };
    let team = index.add_namespace("team", Some(anna), &actor, NOW).await;
    let namespace = id(team.expect("it can be added"));
    for (holder, role) in [(will, "writer"), (rita, "reader")] {
        let holder = Holder::Principal(holder);
        let grant = NewGrant { holder, role, pattern: "team/**", maker: Some(anna) };
        let added = index.add_grant(&grant, &actor, NOW).await.expect("it can be given");
        assert_eq!(added, Changed::Done);
    }
    let robot = NewRobot { name: "ci", namespace, maker: anna };
    let robot = id(index.add_robot(&robot, &actor, NOW).await.expect("it can be added"));
    let of_robot = token(index, robot, anna, "team/**:pull,push").await;
    let of_anna = token(index, anna, anna, "team/**:pull").await;
    let mut writer = index.lock().await.expect("it is free");
    for (name, visibility) in [
        ("team/secret", Visibility::Private),
        ("team/inner", Visibility::Internal),
        ("team/open", Visibility::Public),
    ] {
        let name = name.parse().expect("it is a name");
        writer.set_visibility(&name, visibility, NOW).await.expect("it can be said");
    }
    Secrets { will, robot, of_robot, of_anna }
}

fn id(added: Added) -> i64 {
    let Added::Made(id) = added else { panic!("it was not added: {added:?}") };
    id
}

/// Adds an access token and returns its text.
pub(super) async fn token(index: &Index, principal: i64, maker: i64, scopes: &str) -> String {
    let token = AccessToken::generate();
    let (id, hash) = (token.id().as_str(), token.hash());
    let new = NewAccessToken {
        id,
        principal,
        hash: hash.as_bytes(),
        name: "laptop",
        scopes,
        maker,
        expires: None,
    };
    let added = index.add_access_token(&new, &Actor::default(), NOW).await;
    assert_eq!(added.expect("it can be added"), Changed::Done);
    token.into_text().expose_secret().to_owned()
}

/// Has a server sign clients in by accounts.
pub(super) fn configure(command: &mut Command) {
    command
        .env("ROADSTEAD_AUTH__METHOD", "accounts")
        .env("ROADSTEAD_AUTH__SIGN_INS__WRONG_PASSWORDS", "1000");
}

/// Changes the accounts of an index that no server uses.
pub(super) fn edit<T>(data: &Path, edit: impl AsyncFnOnce(&Index) -> T) -> T {
    let url = format!("sqlite:{}", data.join("index.sqlite").display());
    edit_at(&url, edit)
}

/// The same at a URL.
pub(super) fn edit_at<T>(url: &str, edit: impl AsyncFnOnce(&Index) -> T) -> T {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
    runtime.block_on(async {
        let index = roadstead::index::open(url).await.expect("it can be opened");
        let outcome = edit(&index).await;
        index.close().await;
        outcome
    })
}

/// A registry of the team.
pub(super) struct Team {
    pub(super) server: Server,
    pub(super) secrets: Secrets,
    _folder: TempDir,
}

impl Team {
    pub(super) fn start() -> Self {
        Self::start_with(|_| {})
    }

    /// Starts one after `more` has added to its command.
    pub(super) fn start_with(more: impl Fn(&mut Command) + Send + Sync + 'static) -> Self {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let data = folder.path().join("data");
        std::fs::create_dir(&data).expect("the folder is ours");
        let secrets = edit(&data, async |index| fill(index).await);
        let server = Server::start_on_with(&data, move |command| {
            configure(command);
            more(command);
        });
        Self { server, secrets, _folder: folder }
    }

    /// Changes the accounts while the server does not run.
    pub(super) fn edit(&mut self, change: impl AsyncFnOnce(&Index, &Secrets)) {
        self.server.stop();
        let secrets = self.secrets.clone();
        edit(&self.server.data(), async |index| change(index, &secrets).await);
        self.server.start_again();
    }

    pub(super) fn send(
        &self,
        method: Method,
        path: &str,
        sender: &Sender,
        body: Vec<u8>,
    ) -> Response {
        send(&self.server, method, path, sender, body)
    }

    pub(super) fn get(&self, path: &str, sender: &Sender) -> Response {
        self.send(Method::GET, path, sender, Vec::new())
    }

    /// Fetches a token for these scopes.
    pub(super) fn token(&self, sender: &Sender, scopes: &[&str]) -> Response {
        token_of(&self.server, sender, scopes)
    }

    /// The same for a request to come.
    pub(super) fn bearer(&self, sender: &Sender, scopes: &[&str]) -> Sender {
        let answer = self.token(sender, scopes);
        assert_eq!(answer.status, 200, "{}", answer.text());
        Sender::Bearer(answer.json()["token"].as_str().expect("it is a text").to_owned())
    }

    /// Pushes an image; returns the statuses of its blob and its manifest.
    pub(super) fn push(&self, name: &str, sender: &Sender) -> [u16; 2] {
        push(&self.server, name, sender)
    }
}

pub(super) fn send(
    server: &Server,
    method: Method,
    path: &str,
    sender: &Sender,
    body: Vec<u8>,
) -> Response {
    let url = server.url(path);
    http::send(|client| {
        let request = client.request(method, url).header("Content-Type", OCI_MANIFEST).body(body);
        match sender {
            Sender::Nobody => request,
            Sender::Basic(user, password) => request.basic_auth(user, Some(password)),
            Sender::Bearer(token) => request.bearer_auth(token),
        }
    })
}

pub(super) fn token_of(server: &Server, sender: &Sender, scopes: &[&str]) -> Response {
    let scopes: Vec<_> = scopes.iter().map(|scope| ("scope", *scope)).collect();
    http::send(|client| {
        let request = client.get(server.url("/v2/token"));
        let request = request.query(&[("service", "whatever")]).query(&scopes);
        match sender {
            Sender::Nobody => request,
            Sender::Basic(user, password) => request.basic_auth(user, Some(password)),
            Sender::Bearer(token) => request.bearer_auth(token),
        }
    })
}

pub(super) fn push(server: &Server, name: &str, sender: &Sender) -> [u16; 2] {
    let path = format!("/v2/{name}/blobs/uploads/?digest={}", sha256(b"config"));
    let blob = send(server, Method::POST, &path, sender, b"config".to_vec());
    let manifest = image(b"config", &[]).to_string().into_bytes();
    let path = format!("/v2/{name}/manifests/v1");
    let manifest = send(server, Method::PUT, &path, sender, manifest);
    [blob.status, manifest.status]
}

/// What a signed token says.
pub(super) fn claims(answer: &Response) -> Value {
    use base64::Engine;

    let token = answer.json()["token"].as_str().expect("it is a text").to_owned();
    let claims = token.split('.').nth(1).expect("it has three parts").to_owned();
    let claims = base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(claims).expect("it is base64");
    serde_json::from_slice(&claims).expect("they are JSON")
}
