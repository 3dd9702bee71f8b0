//! A registry of the test's own: `roadstead serve` on a free port of 127.0.0.1, in a folder of its own, or
//! under `TEST_STORAGE=kubo` over Kubo and Postgres.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use super::http;
use super::pair::{Pair, is_over_kubo};
use super::ports::free_address;
use super::process::{Process, succeed};

/// How long the server may take until it answers `/healthz`.
const READY: Duration = Duration::from_secs(90);

type Configure = Box<dyn Fn(&mut Command) + Send + Sync>;

/// A running server. Dropping it kills the process and removes the folder.
pub(crate) struct Server {
    // Fields are dropped in this order: the process goes before its folder.
    process: Process,
    address: String,
    scheme: &'static str,
    pair: Option<Arc<Pair>>,
    folder: TempDir,
    data: PathBuf,
    configure: Configure,
}

impl Server {
    /// Starts a server with its defaults and nothing in it.
    pub(crate) fn start() -> Self {
        Self::start_with(|_| {})
    }

    /// Starts a server after `configure` has added arguments or environment to its command.
    pub(crate) fn start_with(configure: impl Fn(&mut Command) + Send + Sync + 'static) -> Self {
        Self::start_by("http", configure)
    }

    /// Like [`Self::start_with`], where `configure` has the server encrypt connections.
    pub(crate) fn start_encrypted(
        configure: impl Fn(&mut Command) + Send + Sync + 'static,
    ) -> Self {
        Self::start_by("https", configure)
    }

    fn start_by(
        scheme: &'static str,
        configure: impl Fn(&mut Command) + Send + Sync + 'static,
    ) -> Self {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let data = folder.path().join("data");
        let pair = is_over_kubo().then(|| Arc::new(Pair::make()));
        Self::launch(scheme, pair, folder, data, Box::new(configure))
    }

    /// Starts a server over a node and a database, of which it may be one of several, after `configure` has
    /// added arguments or environment to its command.
    pub(crate) fn start_over(
        pair: &Arc<Pair>,
        configure: impl Fn(&mut Command) + Send + Sync + 'static,
    ) -> Self {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let data = folder.path().join("data");
        Self::launch("http", Some(pair.clone()), folder, data, Box::new(configure))
    }

    /// Starts another process over the same node and database; none where the store is embedded.
    pub(crate) fn start_beside(
        &self,
        configure: impl Fn(&mut Command) + Send + Sync + 'static,
    ) -> Option<Self> {
        Some(Self::start_over(self.pair.as_ref()?, configure))
    }

    /// Starts a server with the embedded store, where a test is about its files.
    pub(crate) fn start_embedded() -> Self {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let data = folder.path().join("data");
        Self::launch("http", None, folder, data, Box::new(|_| {}))
    }

    /// Starts a server with the embedded store, on a data folder that the test has made.
    pub(crate) fn start_on(data: &Path) -> Self {
        Self::start_on_with(data, |_| {})
    }

    /// The same after `configure` has added arguments or environment to its command.
    pub(crate) fn start_on_with(
        data: &Path,
        configure: impl Fn(&mut Command) + Send + Sync + 'static,
    ) -> Self {
        let folder = TempDir::new().expect("a temporary folder can be made");
        Self::launch("http", None, folder, data.to_owned(), Box::new(configure))
    }

    fn launch(
        scheme: &'static str,
        pair: Option<Arc<Pair>>,
        folder: TempDir,
        data: PathBuf,
        configure: Configure,
    ) -> Self {
        let (process, address) = serve(folder.path(), &data, scheme, pair.as_deref(), &configure);
        Self { process, address, scheme, pair, folder, data, configure }
    }

    /// Starts it again on the same data folder and another port, after [`Self::stop`] or [`Self::kill`].
    pub(crate) fn start_again(&mut self) {
        assert!(self.process.ended().is_some(), "the server still runs");
        let pair = self.pair.as_deref();
        (self.process, self.address) =
            serve(self.folder.path(), &self.data, self.scheme, pair, &self.configure);
    }

    /// `127.0.0.1:<port>`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// `server.url("/v2/")` is `http://127.0.0.1:<port>/v2/`.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.address)
    }

    /// The id of its process.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// The data folder, given as `--data`.
    pub(crate) fn data(&self) -> PathBuf {
        self.data.clone()
    }

    /// What the server has written to its outputs so far.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    /// A command of the same binary on the same data folder, to be run beside the server:
    /// `server.command(["root"])`.
    pub(crate) fn command<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
    ) -> Command {
        let mut command = roadstead(arguments);
        command.arg("--data").arg(self.data());
        if let Some(pair) = &self.pair {
            pair.configure(&mut command);
        }
        command
    }

    /// Where its images and rows are, if it does not have the embedded store.
    pub(crate) fn pair(&self) -> Option<&Pair> {
        self.pair.as_deref()
    }

    /// The folder of what is public, as the stock registry would have it: of the embedded store its own,
    /// else what `ipfs get` makes of the root.
    pub(crate) fn public(&self) -> PathBuf {
        let Some(pair) = &self.pair else { return self.data.join("public") };
        let root = succeed(&mut self.command(["root"]));
        // Of each root one: exporting it again would change nothing.
        let folder = self.folder.path().join(&root);
        if !folder.exists() {
            pair.export(&root, &folder);
        }
        folder
    }

    /// Takes the index from a server that does not run.
    pub(crate) fn lose_index(&self) {
        if let Some(pair) = &self.pair {
            return pair.lose_index();
        }
        for file in ["index.sqlite", "index.sqlite-wal", "index.sqlite-shm"] {
            let _ = std::fs::remove_file(self.data.join(file));
        }
    }

    /// Ends it by SIGTERM, as a service manager does, and waits.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        self.process.stop()
    }

    /// Waits until it has ended by itself.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.process.wait()
    }

    /// Sends it a signal, such as those by which it stands still and goes on.
    pub(crate) fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Ends it by SIGKILL, as the loss of power would, and waits.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its folder goes with it, so a graceful end would only cost time.
        self.process.kill();
    }
}

/// A command of the binary under test, free of settings from the environment of the tests.
pub(crate) fn roadstead<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    // ROADSTEAD_BIN names another build to be tested, such as the release.
    let binary = env::var_os("ROADSTEAD_BIN")
        .map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_roadstead")), PathBuf::from);
    let mut command = Command::new(binary);
    command.args(arguments);
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("ROADSTEAD_") {
            command.env_remove(name);
        }
    }
    command
}

fn serve(
    folder: &Path,
    data: &Path,
    scheme: &str,
    pair: Option<&Pair>,
    configure: &Configure,
) -> (Process, String) {
    let address = free_address();
    let mut command = roadstead(["serve", "--listen", &address, "--data"]);
    command.arg(data).current_dir(folder);
    if let Some(pair) = pair {
        pair.configure(&mut command);
    }
    configure(&mut command);
    let log = folder.join("server.log");
    let mut process = Process::start(&mut command, &log);
    let health = format!("{scheme}://{address}/healthz");
    process.wait_until(READY, || {
        http::try_send(|client| client.get(&health)).is_ok_and(|response| response.status == 200)
    });
    // If it was somebody else who answered, this one ends, since the address is taken.
    process.wait_until(READY, || {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        text.lines().any(|line| line.contains("listening") && line.contains(&address))
    });
    (process, address)
}
