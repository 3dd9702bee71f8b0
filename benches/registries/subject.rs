//! Who is compared: processes of this run, and others by their address.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use crate::BEFORE;
use crate::client::Client;
use crate::common::pair::Pair;
use crate::common::{Process, free_address, require, roadstead};

/// How many ticks of processor time Linux counts in a second.
const TICKS: f64 = 100.0;

const READY: Duration = Duration::from_secs(30);

/// Settings that may be others at the next start.
pub(crate) type Settings = Arc<Mutex<Vec<(&'static str, String)>>>;

type Start = Box<dyn Fn(&Path, &str) -> Command + Sync>;

/// A server that is measured.
pub(crate) struct Subject {
    pub(crate) name: String,
    pub(crate) address: String,
    /// The token that its clients send.
    pub(crate) bearer: Option<String>,
    // The process goes before its folder. Others than those of this run have neither.
    process: Option<Process>,
    folder: Option<TempDir>,
    start: Option<Start>,
    /// The most memory that earlier processes of it ever held, in MiB.
    earlier_peak: f64,
}

impl Subject {
    /// Roadstead, as it comes.
    pub(crate) fn roadstead(parent: &Path) -> Self {
        Self::start(parent, "Roadstead", |folder, address| {
            let mut command = roadstead(["serve", "--listen", address, "--data"]);
            command.arg(folder.join("data"));
            command
        })
    }

    /// Roadstead with settings, each as its environment has it.
    pub(crate) fn roadstead_with(parent: &Path, settings: Settings) -> Self {
        Self::start(parent, "Roadstead", move |folder, address| {
            let mut command = roadstead(["serve", "--listen", address, "--data"]);
            let settings = settings.lock().expect("nobody panicked").clone();
            command.arg(folder.join("data")).envs(settings);
            command
        })
    }

    /// Its own folder, with its configuration, log and data.
    pub(crate) fn folder(&self) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.path().to_owned())
    }

    /// Where its data are.
    pub(crate) fn data(&self) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.path().join("data"))
    }

    /// Another build of Roadstead, as it comes.
    pub(crate) fn before(parent: &Path, binary: PathBuf) -> Self {
        Self::start(parent, BEFORE, move |folder, address| {
            let mut command = Command::new(&binary);
            command.args(["serve", "--listen", address, "--data"]).arg(folder.join("data"));
            command
        })
    }

    /// One process of a build of Roadstead over a node and a database.
    pub(crate) fn over(parent: &Path, name: &str, binary: PathBuf, pair: Pair) -> Self {
        Self::start(parent, name, move |folder, address| {
            let mut command = Command::new(&binary);
            command.args(["serve", "--listen", address, "--data"]).arg(folder.join("data"));
            pair.configure(&mut command);
            command
        })
    }

    /// The stock registry as its own example of a configuration has it, with deletions.
    pub(crate) fn stock(parent: &Path) -> Option<Self> {
        let program = require("registry")?;
        Some(Self::start(parent, "v3.1.1", move |folder, address| {
            let config = folder.join("config.yml");
            // JSON is YAML.
            let settings = json!({
                "version": 0.1,
                "http": { "addr": address },
                "storage": {
                    "cache": { "blobdescriptor": "inmemory" },
                    "delete": { "enabled": true },
                    "filesystem": { "rootdirectory": folder.join("data") },
                },
            });
            fs::write(&config, settings.to_string()).expect("a file can be written");
            let mut command = Command::new(&program);
            command.arg("serve").arg(&config).env("OTEL_TRACES_EXPORTER", "none");
            command
        }))
    }

    /// zot, as its smallest example of a configuration has it, with less to log.
    pub(crate) fn zot(parent: &Path, program: PathBuf) -> Self {
        Self::start(parent, "zot", move |folder, address| {
            let (host, port) = address.split_once(':').expect("it is a host and a port");
            let settings = json!({
                "distSpecVersion": "1.1.1",
                "storage": { "rootDirectory": folder.join("data") },
                "http": { "address": host, "port": port },
                "log": { "level": "info" },
            });
            let config = folder.join("config.json");
            fs::write(&config, settings.to_string()).expect("a file can be written");
            let mut command = Command::new(&program);
            command.arg("serve").arg(&config);
            command
        })
    }

    /// olareg, as it comes.
    pub(crate) fn olareg(parent: &Path, program: PathBuf) -> Self {
        Self::start(parent, "olareg", move |folder, address| {
            let (host, port) = address.split_once(':').expect("it is a host and a port");
            let data = folder.join("data");
            fs::create_dir_all(&data).expect("a folder can be made");
            let mut command = Command::new(&program);
            command.args(["serve", "--addr", host, "--port", port, "--dir"]).arg(data);
            command
        })
    }

    /// nginx with sendfile on the files of a folder; over TLS, if it gets a certificate and its key.
    pub(crate) fn nginx(parent: &Path, root: PathBuf, pair: Option<[PathBuf; 2]>) -> Option<Self> {
        let program = require("nginx")?;
        Some(Self::start(parent, "nginx", move |folder, address| {
            let config = folder.join("nginx.conf");
            let (ssl, lines) = match &pair {
                None => ("", String::new()),
                Some([certificate, key]) => {
                    let (certificate, key) = (certificate.display(), key.display());
                    (" ssl", format!("ssl_certificate {certificate}; ssl_certificate_key {key};"))
                }
            };
            let text = format!(
                "daemon off; worker_processes auto; pid {0}/pid; error_log {0}/error.log; user root;\n\
                 events {{ worker_connections 1024; }}\n\
                 http {{ access_log {0}/access.log; sendfile on; server {{ listen {address}{ssl}; {lines} root {1}; }} }}\n",
                folder.display(),
                root.display()
            );
            fs::write(&config, text).expect("a file can be written");
            let mut command = Command::new(&program);
            command.arg("-c").arg(&config);
            command
        }))
    }

    /// A registry that somebody else has started.
    pub(crate) fn other(name: &str, address: &str) -> Self {
        Self {
            name: name.to_owned(),
            address: address.to_owned(),
            bearer: None,
            process: None,
            folder: None,
            start: None,
            earlier_peak: 0.0,
        }
    }

    fn start(
        parent: &Path,
        name: &str,
        start: impl Fn(&Path, &str) -> Command + Sync + 'static,
    ) -> Self {
        let folder = TempDir::new_in(parent).expect("a folder can be made");
        let mut subject = Self {
            name: name.to_owned(),
            address: free_address(),
            bearer: None,
            process: None,
            folder: Some(folder),
            start: Some(Box::new(start)),
            earlier_peak: 0.0,
        };
        subject.run();
        subject
    }

    /// Starts the process, and waits until it takes a connection.
    pub(crate) fn run(&mut self) {
        self.launch();
        if let Some(process) = &mut self.process {
            process.wait_until(READY, || Client::try_open(&self.address).is_ok());
        }
    }

    /// Starts the process on its data.
    pub(crate) fn launch(&mut self) {
        let (Some(start), Some(folder)) = (&self.start, &self.folder) else { return };
        let mut command = start(folder.path(), &self.address);
        self.process = Some(Process::start(&mut command, &folder.path().join("log")));
    }

    /// Ends the process.
    pub(crate) fn stop(&mut self) {
        self.earlier_peak = self.peak_memory().unwrap_or_default();
        self.process = None;
    }

    /// Begins with nothing, so that what is to come has the disk and the memory that this had.
    pub(crate) fn renew(&mut self) {
        self.stop();
        if let Some(folder) = &self.folder {
            let data = folder.path().join("data");
            if data.exists() {
                fs::remove_dir_all(data).expect("the process has ended");
            }
            self.run();
        }
    }

    /// The most memory that its processes ever held, in MiB.
    pub(crate) fn peak_memory(&self) -> Option<f64> {
        let process = self.process.as_ref()?;
        Some(self.earlier_peak.max(peak_memory_of(process.id())?))
    }

    /// The memory that its process holds now, in MiB: all, and what no file backs.
    pub(crate) fn memory(&self) -> Option<[f64; 2]> {
        let id = self.process.as_ref()?.id();
        Some([memory_of(id, "VmRSS:")?, memory_of(id, "RssAnon:")?])
    }

    /// The processor time that its process has taken so far, in seconds; without that of earlier processes.
    pub(crate) fn processor_time(&self) -> Option<f64> {
        let stat =
            fs::read_to_string(format!("/proc/{}/stat", self.process.as_ref()?.id())).ok()?;
        // Behind the name, which may have anything in it: the state is the first, user and system time the 12th and 13th.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = |field: usize| fields.get(field)?.parse::<f64>().ok();
        Some((ticks(11)? + ticks(12)?) / TICKS)
    }

    /// The URL of a target.
    pub(crate) fn url(&self, target: &str) -> String {
        format!("http://{}{target}", self.address)
    }

    /// A connection to it.
    pub(crate) fn client(&self) -> Client {
        let mut client = Client::open(&self.address);
        client.authorization = self.bearer.as_ref().map(|token| format!("Bearer {token}"));
        client
    }
}

/// The most memory that a process ever held, in MiB.
pub(crate) fn peak_memory_of(id: u32) -> Option<f64> {
    memory_of(id, "VmHWM:")
}

/// One of the figures that Linux has of the memory of a process, in MiB.
fn memory_of(id: u32, name: &str) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: f64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes / 1024.0)
}
