//! A name server of the test's own: a real `named`, with zones that the test gives, changed by `nsupdate`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use super::ports::free_port;
use super::process::{Finished, Process, run, succeed};
use super::tools::require;

/// How long the server may take until it answers.
const READY: Duration = Duration::from_mins(1);

/// The key by which records may be changed: its name, its algorithm and its secret, which is none.
pub(crate) const KEY: [&str; 3] =
    ["test", "hmac-sha256", "cmlnLXRlc3Qtb25seS1ub3QtYS1zZWNyZXQtMDAwMDE="];

/// How long `dig` waits for an answer that has to come.
const LONG_TIMEOUT: [&str; 2] = ["+time=10", "+tries=3"];

/// The same where whoever asks tries again.
const AT_ONCE: [&str; 2] = ["+time=1", "+tries=1"];

/// What has a zone signed.
const SIGNED: &str = "dnssec-policy default; inline-signing yes;";

/// A running server, authoritative for its zones, on UDP and TCP of 127.0.0.1. Dropping it ends it.
pub(crate) struct Bind {
    // Fields are dropped in this order: the process goes before its folder.
    process: Process,
    port: u16,
    folder: TempDir,
    /// The first zone.
    zone: String,
}

impl Bind {
    /// Starts a server with zones, each by its name and its records: lines as in a zone file, with names
    /// relative to the zone, to which a SOA, a NS and `ns` are added. TTLs are a second unless a record
    /// says more. Skips or fails as [`require`] does.
    pub(crate) fn start(zones: &[(&str, &str)]) -> Option<Self> {
        Self::start_signed(zones, &[])
    }

    /// The same, and signs those of the zones (DNSSEC).
    pub(crate) fn start_signed(zones: &[(&str, &str)], signed: &[&str]) -> Option<Self> {
        Self::launch(zones, signed, "zonesub ANY")
    }

    /// The same as [`Self::start`], where the key may change only that: `name _dnslink.a.test. TXT`.
    pub(crate) fn start_granting(zones: &[(&str, &str)], grant: &str) -> Option<Self> {
        Self::launch(zones, &[], grant)
    }

    fn launch(zones: &[(&str, &str)], signed: &[&str], grant: &str) -> Option<Self> {
        let named = require("named")?;
        require("nsupdate")?;
        require("dig")?;
        let folder = TempDir::new().expect("a temporary folder can be made");
        let port = free_port();
        fs::write(
            folder.path().join("named.conf"),
            settings(folder.path(), port, zones, signed, grant),
        )
        .expect("the folder can be written to");
        for (zone, records) in zones {
            let text = format!(
                "$TTL 1\n@ SOA ns hostmaster 1 3600 600 86400 1\n@ NS ns\nns A 127.0.0.1\n{records}\n"
            );
            fs::write(zone_file(folder.path(), zone), text).expect("the folder can be written to");
        }
        let mut command = Command::new(named);
        command.arg("-g").arg("-c").arg(folder.path().join("named.conf"));
        let process = Process::start(&mut command, &folder.path().join("named.log"));
        let zone = zones.first().map_or("", |(zone, _)| zone).to_owned();
        let mut bind = Self { process, port, folder, zone };
        for (zone, _) in zones {
            let mut asking = bind.asking(AT_ONCE, ["+short", "SOA", zone]);
            bind.process.wait_until(READY, || run(&mut asking).stdout.contains("hostmaster"));
        }
        Some(bind)
    }

    /// `127.0.0.1:<port>`.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Changes records of a zone, in the words of `nsupdate`: `update add _dnslink.a.test 1 TXT "…"`.
    /// Panics when the server refuses.
    pub(crate) fn update(&self, zone: &str, commands: &str) {
        let finished = self.try_update(zone, commands);
        assert!(finished.succeeded(), "{finished}");
    }

    /// Like [`Self::update`], where the server may refuse.
    pub(crate) fn try_update(&self, zone: &str, commands: &str) -> Finished {
        let script = self.folder.path().join("update");
        let text = format!("server 127.0.0.1 {}\nzone {zone}\n{commands}\nsend\n", self.port);
        fs::write(&script, text).expect("the folder can be written to");
        let [name, algorithm, secret] = KEY;
        let mut command = Command::new("nsupdate");
        run(command.arg("-y").arg(format!("{algorithm}:{name}:{secret}")).arg(script))
    }

    /// What `dig` prints when it asks this server: `dig(["+short", "TXT", "a.test"])`.
    pub(crate) fn dig<'text>(&self, arguments: impl IntoIterator<Item = &'text str>) -> String {
        succeed(&mut self.asking(LONG_TIMEOUT, arguments))
    }

    /// Waits until the server has signed the TXT records of a name.
    pub(crate) fn wait_until_signed(&self, name: &str) {
        let begun = Instant::now();
        // By ECDSA, which is what its policy takes.
        while !self.dig(["+dnssec", "+short", "TXT", name]).contains("TXT 13") {
            assert!(begun.elapsed() < READY, "{name} is not signed");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Ends it; whoever asks is refused by the system.
    pub(crate) fn stop(&mut self) {
        self.process.stop();
    }

    /// Has it stand still: connections are taken by the system, and nothing answers.
    pub(crate) fn freeze(&self) {
        self.process.pause();
    }

    /// Has it go on.
    pub(crate) fn thaw(&self) {
        self.process.signal(Signal::CONT);
    }

    /// Starts it again on the same port, with the zones as they were, after [`Self::stop`].
    pub(crate) fn start_again(&mut self) {
        assert!(self.process.ended().is_some(), "the name server still runs");
        let named = require("named").expect("it was there before");
        let folder = self.folder.path();
        let mut command = Command::new(named);
        command.arg("-g").arg("-c").arg(folder.join("named.conf"));
        self.process = Process::start(&mut command, &folder.join("named.log"));
        let mut asking = self.asking(AT_ONCE, ["+short", "SOA", &self.zone]);
        self.process.wait_until(READY, || run(&mut asking).stdout.contains("hostmaster"));
    }

    /// How often a zone was changed since the server has had it: each update makes its serial greater.
    pub(crate) fn serial(&self, zone: &str) -> u32 {
        let soa = self.dig(["+short", "SOA", zone]);
        let serial = soa.split_whitespace().nth(2).and_then(|serial| serial.parse().ok());
        serial.unwrap_or_else(|| panic!("a SOA has a serial: {soa}"))
    }

    /// The TXT records of a name as this server has them, sorted, their segments joined.
    pub(crate) fn texts(&self, name: &str) -> Vec<String> {
        let output = self.dig(["+short", "+tcp", "TXT", name]);
        let joined = |line: &str| line.trim_matches('"').replace("\" \"", "");
        let mut texts: Vec<String> = output.lines().map(joined).collect();
        texts.sort();
        texts
    }

    /// What it has said.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    fn asking<'text>(
        &self,
        timeouts: [&str; 2],
        arguments: impl IntoIterator<Item = &'text str>,
    ) -> Command {
        let mut command = Command::new("dig");
        command.args(["@127.0.0.1", "-p", &self.port.to_string()]);
        command.args(timeouts).args(arguments);
        command
    }
}

fn zone_file(folder: &Path, zone: &str) -> PathBuf {
    folder.join(format!("{zone}.zone"))
}

fn settings(
    folder: &Path,
    port: u16,
    zones: &[(&str, &str)],
    signed: &[&str],
    grant: &str,
) -> String {
    let [name, algorithm, secret] = KEY;
    let path = folder.display();
    let zone = |(zone, _): &(&str, &str)| {
        let file = zone_file(folder, zone);
        let file = file.display();
        let policy = format!("update-policy {{ grant {name} {grant}; }}");
        let options = if signed.contains(zone) { SIGNED } else { "" };
        format!("zone \"{zone}\" {{ type primary; file \"{file}\"; {policy}; {options} }};\n")
    };
    let zones: String = zones.iter().map(zone).collect();
    format!(
        "key \"{name}\" {{ algorithm {algorithm}; secret \"{secret}\"; }};\n\
         options {{ directory \"{path}\"; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};\n\
         pid-file \"named.pid\"; session-keyfile \"session.key\"; recursion no; notify no;\n\
         dnssec-validation no; check-names primary ignore; }};\n\
         controls {{ }};\n{zones}"
    )
}
