//! A real `OpenID` provider on loopback (npm's `oidc-provider`), which gives ID tokens to jobs.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use reqwest::redirect::Policy;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::http::{self, Response};
use crate::common::{Process, free_address, require};

const READY: Duration = Duration::from_mins(1);

/// Where the provider sends clients with their tokens.
const CALLBACK: &str = "https://client.example/callback";

/// The audience of the registry, whose tokens are signed by RS256.
pub(crate) const AUDIENCE: &str = "https://registry.test";

/// Another one, by ES256.
pub(crate) const BY_ES256: &str = "https://es256.registry.test";

/// An audience that no rule has.
pub(crate) const OTHER: &str = "https://other.test";

/// A job on the main branch, one on another branch, and one that began before its time.
pub(crate) const MAIN: &str = "repo:org@70/app@7:ref:refs/heads/main";
pub(crate) const BRANCH: &str = "repo:org@70/app@7:ref:refs/heads/topic";
pub(crate) const EARLY: &str = "early";

/// How one is started.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    /// Its name; by default, where it listens.
    pub(crate) issuer: Option<String>,
    /// The file of its keys; by default one of its own.
    pub(crate) keys: Option<PathBuf>,
    /// How many seconds its clock is ahead.
    pub(crate) clock: i64,
    /// The certificate and its key, if it encrypts.
    pub(crate) certificate: Option<(String, String)>,
    /// How often it has made other keys, whose ids follow from that.
    pub(crate) rotations: u32,
    /// What requests for its keys have to bring.
    pub(crate) bearer: Option<&'static str>,
}

/// A running provider.
pub(crate) struct Issuer {
    // Fields are dropped in this order: the process goes before its folder.
    process: Process,
    folder: TempDir,
    address: String,
    options: Options,
}

impl Issuer {
    /// Starts one. Skips or fails as [`require`] does.
    pub(crate) fn start(options: Options) -> Option<Self> {
        let address = free_address();
        let folder = TempDir::new().expect("a temporary folder can be made");
        let process = serve(folder.path(), &address, &options)?;
        Some(Self { process, folder, address, options })
    }

    /// Has it forget its keys: from here on it signs by others, and publishes only those.
    pub(crate) fn rotate(&mut self) {
        self.process.stop();
        std::fs::remove_file(self.keys()).expect("it has made them");
        self.options.rotations += 1;
        let process = serve(self.folder.path(), &self.address, &self.options);
        self.process = process.expect("it has been started before");
    }

    /// Ends it.
    pub(crate) fn stop(&mut self) {
        self.process.stop();
    }

    /// Its name, as its tokens have it.
    pub(crate) fn name(&self) -> String {
        let own = || format!("{}://{}", scheme(&self.options), self.address);
        self.options.issuer.clone().unwrap_or_else(own)
    }

    /// The file of its private keys.
    pub(crate) fn keys(&self) -> PathBuf {
        keys(self.folder.path(), &self.options)
    }

    /// Its public keys, as it publishes them.
    pub(crate) fn public_keys(&self) -> Value {
        http::get(&self.url("/jwks")).json()
    }

    /// The key of RS256 in PEM, as someone may take it for a secret.
    pub(crate) fn public_pem(&self) -> String {
        http::get(&self.url("/pem")).text()
    }

    fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", scheme(&self.options), self.address)
    }

    /// Returns an ID token for a job, by the implicit flow.
    pub(crate) fn token(&self, job: &str, audience: &str) -> String {
        let mut path = "/auth".to_owned();
        let query = [
            ("client_id", audience),
            ("response_type", "id_token"),
            ("scope", "openid"),
            ("nonce", "of the test"),
            ("redirect_uri", CALLBACK),
            ("login_hint", job),
        ];
        let mut cookies: Vec<String> = Vec::new();
        for _ in 0..5 {
            let answer = http::try_send_by(
                |client| client.redirect(Policy::none()).tls_danger_accept_invalid_certs(true),
                |client| {
                    let request = client.get(self.url(&path)).header("Cookie", cookies.join("; "));
                    if path == "/auth" { request.query(&query) } else { request }
                },
            );
            let answer = answer.expect("the provider answers");
            cookies.extend(set(&answer));
            let location = answer.header("location").to_owned();
            assert_eq!(answer.status, 303, "{}", answer.text());
            if let Some(rest) = location.strip_prefix(CALLBACK) {
                let token = rest.strip_prefix("#id_token=").unwrap_or_else(|| panic!("{rest}"));
                return token.split('&').next().expect("a text has a first part").to_owned();
            }
            let start = location.find("/interaction/").or_else(|| location.find("/auth/"));
            let start = start.unwrap_or_else(|| panic!("{location}"));
            location[start..].clone_into(&mut path);
        }
        panic!("the provider does not come to an end");
    }
}

/// The cookies that an answer sets.
fn set(answer: &Response) -> Vec<String> {
    let cookies = answer.headers.get_all("set-cookie").iter();
    let pair = |cookie: &str| cookie.split(';').next().map(str::to_owned);
    cookies.filter_map(|cookie| pair(cookie.to_str().ok()?)).collect()
}

fn scheme(options: &Options) -> &'static str {
    if options.certificate.is_some() { "https" } else { "http" }
}

fn keys(folder: &Path, options: &Options) -> PathBuf {
    options.keys.clone().unwrap_or_else(|| folder.join("keys.json"))
}

fn serve(folder: &Path, address: &str, options: &Options) -> Option<Process> {
    let (node, module) = (require("node")?, require("oidc-provider")?);
    let script = Path::new(env!("CARGO_MANIFEST_DIR"));
    let script = script.join("tests/accounts/issuer/openid_provider.mjs");
    let job = |reference: &str| {
        json!({
            "repository": "org/app", "repository_id": "7", "repository_owner_id": "70",
            "ref": reference, "event_name": "push",
        })
    };
    let mut early = job("refs/heads/main");
    // A leeway of a minute is given.
    early["nbf"] = json!(now() + 3600);
    let jobs =
        json!({ MAIN: job("refs/heads/main"), BRANCH: job("refs/heads/topic"), EARLY: early });
    let audiences = json!({ AUDIENCE: "RS256", BY_ES256: "ES256", OTHER: "RS256" });
    let own = format!("{}://{address}", scheme(options));
    let mut command = Command::new(node);
    command
        .arg(script)
        .env("OPENID_PROVIDER", module)
        .env("LISTEN", address)
        .env("ISSUER", options.issuer.clone().unwrap_or(own))
        .env("KEYS", keys(folder, options))
        .env("KID", format!("key-{}", options.rotations))
        .env("AUDIENCES", audiences.to_string())
        .env("JOBS", jobs.to_string())
        .env("CLOCK", options.clock.to_string());
    if let Some((certificate, key)) = &options.certificate {
        for (name, text) in [("CERTIFICATE", certificate), ("KEY", key)] {
            let path = folder.join(name);
            std::fs::write(&path, text).expect("the folder is ours");
            command.env(name, path);
        }
    }
    if let Some(bearer) = options.bearer {
        command.env("BEARER", bearer);
    }
    let log = folder.join("log");
    let starts = || std::fs::read_to_string(&log).unwrap_or_default().matches("listening").count();
    let before = starts();
    let mut process = Process::start(&mut command, &log);
    process.wait_until(READY, || starts() > before);
    Some(process)
}

/// The seconds of the Unix epoch.
pub(crate) fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.expect("it is later").as_secs()
}
