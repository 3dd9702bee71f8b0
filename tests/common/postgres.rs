//! A Postgres of the test's own, which it may stop, kill and start again.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;

use super::ports::free_address;
use super::process::{Process, succeed};
use super::tools::skip;

/// How long the server may take until it answers; after a kill it recovers first.
const READY: Duration = Duration::from_mins(1);

const PAUSE: Duration = Duration::from_millis(50);

/// A running server with the superuser `postgres`. Dropping it ends it and removes its data.
pub(crate) struct Postgres {
    // Fields are dropped in this order: the process goes before its folder.
    process: Option<Process>,
    programs: PathBuf,
    address: String,
    options: Vec<String>,
    folder: TempDir,
}

impl Postgres {
    /// Starts one, with options of the server such as `["-c", "ssl=on"]`. Skips or fails, as
    /// [`require`](super::require) does, where there is no Postgres.
    pub(crate) fn start(options: &[&str]) -> Option<Self> {
        Self::prepare(options, |_| {})
    }

    /// The same after `prepare` was given the folder of its data.
    pub(crate) fn prepare(options: &[&str], prepare: impl FnOnce(&Path)) -> Option<Self> {
        let Some(programs) = programs() else {
            skip("there is no Postgres");
            return None;
        };
        let folder = TempDir::new().expect("a temporary folder can be made");
        fs::set_permissions(folder.path(), Permissions::from_mode(0o711)).expect("it is ours");
        let options = options.iter().map(|&option| option.to_owned()).collect();
        let address = free_address();
        let mut server = Self { process: None, programs, address, options, folder };
        let home = server.folder.path().join("postgres");
        fs::create_dir(&home).expect("a folder can be made in it");
        if geteuid().is_root() {
            succeed(Command::new("chown").arg("postgres:").arg(&home));
        }
        succeed(server.program("initdb").args([
            "--username=postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
            "--pgdata=data",
        ]));
        prepare(&home.join("data"));
        if geteuid().is_root() {
            succeed(Command::new("chown").args(["-R", "postgres:"]).arg(&home));
        }
        server.start_again();
        Some(server)
    }

    /// `127.0.0.1:<port>`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// `postgres://postgres@127.0.0.1:<port>/postgres`.
    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@{}/postgres", self.address)
    }

    /// Runs a statement as the superuser; gives what psql prints, a row a line.
    pub(crate) fn sql(&self, statement: &str) -> String {
        succeed(self.program("psql").args(["-qtAX", "-c", statement, &self.url()]))
    }

    /// Ends it properly, cutting off its clients, and waits.
    pub(crate) fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.interrupt();
        }
    }

    /// Kills it as the loss of power would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// Stops its processes in mid-word, until [`Self::thaw`].
    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets them go on.
    pub(crate) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let Some(process) = &self.process else { return };
        let id = process.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
        let children = children.expect("a process of ours can be asked");
        for process in [id.to_string().as_str()].into_iter().chain(children.split_whitespace()) {
            let process = process.parse().ok().and_then(Pid::from_raw).expect("it is an id");
            // A session may have ended meanwhile.
            let _ = kill_process(process, signal);
        }
    }

    /// Starts it again on the same data and the same port, after [`Self::stop`] or [`Self::kill`].
    pub(crate) fn start_again(&mut self) {
        assert!(self.process.is_none(), "it still runs");
        let begun = Instant::now();
        // What a killed server leaves behind keeps another from starting until it has noticed.
        while !self.try_start() {
            assert!(begun.elapsed() < READY, "Postgres does not start");
            thread::sleep(PAUSE);
        }
    }

    fn try_start(&mut self) -> bool {
        let (host, port) = self.address.split_once(':').expect("an address has a port");
        let mut command = self.program("postgres");
        command.args(["-D", "data", "-p", port, "-c", &format!("listen_addresses={host}")]);
        command.args(["-c", "unix_socket_directories=", "-c", "max_connections=200"]);
        command.args(&self.options);
        let mut process = Process::start(&mut command, &self.folder.path().join("log"));
        let begun = Instant::now();
        while process.ended().is_none() {
            let mut asking = self.program("pg_isready");
            let asking = asking.args(["--quiet", "--host", host, "--port", port]);
            if asking.status().expect("it can be run").success() {
                self.process = Some(process);
                return true;
            }
            assert!(begun.elapsed() < READY, "Postgres does not answer: {}", process.log());
            thread::sleep(PAUSE);
        }
        false
    }

    /// A program of Postgres, which refuses root: `setpriv` becomes it, so its id is the one to end.
    fn program(&self, name: &str) -> Command {
        let program = self.programs.join(name);
        let mut command = as_postgres(&program);
        let home = self.folder.path().join("postgres");
        command.current_dir(&home).env("HOME", home);
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // A test may have failed in between.
        self.thaw();
        if let Some(process) = &mut self.process {
            process.interrupt();
        }
    }
}

/// A command that is not root's: of root, it becomes that of the user `postgres`.
pub(crate) fn as_postgres(program: &Path) -> Command {
    if !geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]).arg(program);
    command
}

/// The folder of the newest Postgres that is installed.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
    let newest = versions.max_by_key(|version| {
        version.file_name().to_string_lossy().parse::<u32>().unwrap_or_default()
    });
    Some(newest?.path().join("bin")).filter(|folder| folder.join("postgres").is_file())
}
