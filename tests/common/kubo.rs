//! A Kubo node of the test's own: a real daemon on loopback, with the settings that a registry's node has
//! and none of the network.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::LazyLock;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::http::{self, Response};
use super::ports::free_port;
use super::process::{Process, succeed};
use super::tools::require;

/// How long the daemon may take until both of its ports answer.
const READY: Duration = Duration::from_mins(1);

/// How a repository begins, as in `scripts/kubo-node`: what it holds depends on that, and is no setting.
const PROFILE: &str = "--profile=unixfs-v1-2025";

/// The settings of a node that `scripts/kubo-node` made, which takes it more than twenty commands: once for all nodes.
static SETTINGS: LazyLock<Value> = LazyLock::new(|| {
    let program = require("ipfs").expect("whoever starts a node has found it");
    let folder = TempDir::new().expect("a temporary folder can be made");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/kubo-node");
    let mut make = Command::new(script);
    make.arg(folder.path()).args(["0", "0"]).env("ROADSTEAD_TEST_IPFS", program);
    succeed(&mut make);
    let read = fs::read(folder.path().join("config")).expect("a repository has its settings");
    serde_json::from_slice(&read).expect("they are JSON")
});

/// What a node is to be, before it runs.
#[derive(Default)]
pub(crate) struct Plan {
    settings: Vec<(String, Value)>,
    environment: Vec<(String, String)>,
    token: Option<String>,
    folder: Option<PathBuf>,
}

impl Plan {
    /// Sets one of the node's own settings to a JSON value, after those that every node has:
    /// `set("Gateway.NoFetch", "false")`.
    pub(crate) fn set(mut self, name: &str, json: &str) -> Self {
        let value = serde_json::from_str(json).expect("the test gives JSON");
        self.settings.push((name.to_owned(), value));
        self
    }

    /// Adds to the environment of the daemon.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Has the node take calls only by this token.
    pub(crate) fn token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        let users = json!({
            "test": { "AuthSecret": format!("bearer:{token}"), "AllowedPaths": ["/api/v0"] }
        });
        self.set("API.Authorizations", &users.to_string())
    }

    /// Has the node live in a folder of the test's, such as a disk that is small: below it, in one that is
    /// made.
    pub(crate) fn below(mut self, folder: &Path) -> Self {
        self.folder = Some(folder.join("kubo"));
        self
    }

    /// Starts the node, and waits until it answers. Skips or fails as [`require`] does.
    pub(crate) fn start(self) -> Option<KuboNode> {
        let program = require("ipfs")?;
        let own = TempDir::new().expect("a temporary folder can be made");
        let repository = self.folder.unwrap_or_else(|| own.path().join("kubo"));
        let (api, gateway) = (free_port(), free_port());
        prepare(&program, &repository, api, gateway, self.settings);
        let log = own.path().join("kubo.log");
        let (token, environment) = (self.token, self.environment);
        let process = launch(&program, &repository, &environment, &log, api, gateway);
        Some(KuboNode { process, program, repository, environment, log, api, gateway, token, own })
    }
}

/// A running node. Dropping it kills the process and removes its folder, if that is its own.
pub(crate) struct KuboNode {
    // Fields are dropped in this order: the process goes before its folder.
    process: Process,
    program: PathBuf,
    repository: PathBuf,
    environment: Vec<(String, String)>,
    log: PathBuf,
    api: u16,
    gateway: u16,
    token: Option<String>,
    own: TempDir,
}

impl KuboNode {
    /// Starts a node. Skips or fails as [`require`] does.
    pub(crate) fn start() -> Option<Self> {
        Self::plan().start()
    }

    /// A node of which the test says more before it starts.
    pub(crate) fn plan() -> Plan {
        Plan::default()
    }

    /// The RPC, `http://127.0.0.1:<port>`.
    pub(crate) fn api(&self) -> String {
        format!("http://127.0.0.1:{}", self.api)
    }

    /// The gateway, `http://127.0.0.1:<port>`.
    pub(crate) fn gateway(&self) -> String {
        format!("http://127.0.0.1:{}", self.gateway)
    }

    /// The folder of its repository.
    pub(crate) fn repository(&self) -> &Path {
        &self.repository
    }

    /// The id of its process.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// What the daemon has said, over all its starts.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    /// Calls the RPC: `rpc("files/stat", &[("arg", "/")])`; panics when no answer comes.
    pub(crate) fn rpc(&self, path: &str, arguments: &[(&str, &str)]) -> Response {
        self.try_rpc(path, arguments).unwrap_or_else(|error| panic!("no answer of {path}: {error}"))
    }

    /// Like [`Self::rpc`], where the node may be gone.
    pub(crate) fn try_rpc(
        &self,
        path: &str,
        arguments: &[(&str, &str)],
    ) -> Result<Response, reqwest::Error> {
        http::try_send(|client| {
            let request = client.post(format!("{}/api/v0/{path}", self.api())).query(arguments);
            match &self.token {
                Some(token) => request.bearer_auth(token),
                None => request,
            }
        })
    }

    /// A command of the program that asks the daemon: `node.command(["files", "ls", "/"])`.
    pub(crate) fn command<'text>(
        &self,
        arguments: impl IntoIterator<Item = &'text str>,
    ) -> Command {
        let mut command = offline(&self.program, &self.repository);
        command.arg(format!("--api=/ip4/127.0.0.1/tcp/{}", self.api));
        if let Some(token) = &self.token {
            command.arg(format!("--api-auth=bearer:{token}"));
        }
        command.args(arguments);
        command
    }

    /// Runs a command that must succeed, and gives what it printed.
    pub(crate) fn ipfs<'text>(&self, arguments: impl IntoIterator<Item = &'text str>) -> String {
        succeed(&mut self.command(arguments))
    }

    /// Has a key lead to a path, with such further options.
    pub(crate) fn publish_name(&self, key: &str, path: &str, options: &[&str]) {
        let words = ["name", "publish", "--allow-offline", "--resolve=false", "--key", key];
        self.ipfs(words.into_iter().chain(options.iter().copied()).chain([path]));
    }

    /// A command on the repository while the daemon does not run, such as `files chroot`.
    pub(crate) fn offline(&self) -> Command {
        offline(&self.program, &self.repository)
    }

    /// Ends it by SIGTERM, and waits.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        self.process.stop()
    }

    /// Ends it by SIGKILL, and waits.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Has it stand still: connections are taken by the system, and nothing answers.
    pub(crate) fn pause(&self) {
        self.process.pause();
    }

    /// Has it go on.
    pub(crate) fn resume(&self) {
        self.process.signal(Signal::CONT);
    }

    /// Starts it again on the same repository and ports, after [`Self::stop`] or [`Self::kill`]; waits
    /// until it answers, and panics with its log when it does not.
    pub(crate) fn start_again(&mut self) {
        assert!(self.process.ended().is_some(), "the node still runs");
        let Self { program, repository, environment, log, api, gateway, .. } = self;
        self.process = launch(program, repository, environment, log, *api, *gateway);
    }
}

impl Drop for KuboNode {
    fn drop(&mut self) {
        // Its folder goes with it; and one that stands still would not hear anything else.
        self.process.kill();
    }
}

/// Makes a repository with the settings that [`SETTINGS`] says and those of the test.
fn prepare(program: &Path, repository: &Path, api: u16, gateway: u16, more: Vec<(String, Value)>) {
    succeed(offline(program, repository).args(["init", PROFILE, "--empty-repo"]));
    let file = repository.join("config");
    let read = fs::read(&file).expect("a repository has its settings");
    let mut own: Value = serde_json::from_slice(&read).expect("they are JSON");
    let mut settings = SETTINGS.clone();
    set(&mut settings, "Identity", own["Identity"].take());
    set(&mut settings, "Addresses.API", json!(format!("/ip4/127.0.0.1/tcp/{api}")));
    set(&mut settings, "Addresses.Gateway", json!(format!("/ip4/127.0.0.1/tcp/{gateway}")));
    for (name, value) in more {
        set(&mut settings, &name, value);
    }
    fs::write(&file, settings.to_string()).expect("the repository is ours");
}

/// Sets what a path of names leads to: `Gateway.NoFetch`.
fn set(settings: &mut Value, name: &str, value: Value) {
    let target = name.split('.').fold(settings, |target, name| &mut target[name]);
    *target = value;
}

fn offline(program: &Path, repository: &Path) -> Command {
    let mut command = Command::new(program);
    command.env("IPFS_PATH", repository).env("IPFS_TELEMETRY", "off");
    command
}

fn launch(
    program: &Path,
    repository: &Path,
    environment: &[(String, String)],
    log: &Path,
    api: u16,
    gateway: u16,
) -> Process {
    let mut daemon = offline(program, repository);
    daemon.arg("daemon").envs(environment.iter().map(|(name, value)| (name, value)));
    let mut process = Process::start(&mut daemon, log);
    let version = format!("http://127.0.0.1:{api}/api/v0/version");
    // A CID that holds its own, empty, block: served also where nothing else than blocks is.
    let empty = format!("http://127.0.0.1:{gateway}/ipfs/bafkqaaa?format=raw");
    process.wait_until(READY, || {
        // Where calls need a token, a refusal is an answer too.
        http::try_send(|client| client.post(&version)).is_ok()
            && http::try_send(|client| client.get(&empty)).is_ok_and(|it| it.status == 200)
    });
    process
}
