//! The name servers that `rfc2136` is tried on: bind, Knot and `PowerDNS`, each with the same zone.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::bind::{Bind, KEY};
use crate::ports::free_port;
use crate::process::{Process, run, succeed};
use crate::tools::require;

/// How long a server may take until it answers.
const READY: Duration = Duration::from_mins(1);

/// What the zone has beside its own records: names below wildcards, aliases (one of them in the place of a wildcard),
/// and a delegation.
const RECORDS: &str = "*.cname CNAME @\n*.txt TXT \"v=spf1 -all\"\n*.link TXT \"dnslink=/ipns/example.net\"\n\
                       *.mx MX 10 ns\n*.many TXT \"v=spf1 -all\"\n*.many MX 10 ns\n*.many A 127.0.0.1\n\
                       _dnslink.alias CNAME @\n*.both TXT \"v=spf1 -all\"\n\
                       _dnslink.both CNAME @\n_dnslink.delegated NS ns\n";

/// Further zones, each with its records: one to which the records of a domain are delegated, and two whose wildcard
/// stands for every name.
const ZONES: [(&str, &str); 3] = [
    ("_dnslink.delegated.publisher.test", "* TXT \"v=spf1 -all\"\n"),
    ("alias.test", "* CNAME @\n"),
    ("text.test", "* TXT \"v=spf1 -all\"\n* MX 10 ns\n"),
];

/// Which program it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Bind,
    Knot,
    PowerDns,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Bind, Self::Knot, Self::PowerDns];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bind => "bind",
            Self::Knot => "knot",
            Self::PowerDns => "powerdns",
        }
    }

    /// What has to be installed.
    pub(crate) fn tools(self) -> &'static [&'static str] {
        match self {
            Self::Bind => &["named", "nsupdate", "dig"],
            Self::Knot => &["knotd", "nsupdate", "dig"],
            Self::PowerDns => &["pdns_server", "pdnsutil", "sqlite3", "nsupdate", "dig"],
        }
    }
}

/// A running server, authoritative for one zone, on UDP and TCP of 127.0.0.1. Dropping it ends it.
pub(crate) enum Server {
    Bind(Bind),
    Other(Other),
}

/// Knot or `PowerDNS`.
pub(crate) struct Other {
    // Fields are dropped in this order: the process goes before its folder.
    process: Process,
    kind: Kind,
    port: u16,
    zone: &'static str,
    folder: TempDir,
}

impl Server {
    /// Starts one; none, or a failure, where it is not installed.
    pub(crate) fn start(kind: Kind, zone: &'static str) -> Option<Self> {
        if kind == Kind::Bind {
            let zones = [&[(zone, RECORDS)][..], &ZONES].concat();
            return Bind::start(&zones).map(Self::Bind);
        }
        for tool in kind.tools() {
            require(tool)?;
        }
        let (folder, port) = (TempDir::new().unwrap(), free_port());
        for (zone, records) in [(zone, RECORDS)].into_iter().chain(ZONES) {
            let text = format!(
                "$ORIGIN {zone}.\n$TTL 1\n@ SOA ns hostmaster 1 3600 600 86400 1\n@ NS ns\nns A 127.0.0.1\n{records}"
            );
            fs::write(folder.path().join(zone), text).unwrap();
        }
        let mut command = match kind {
            Kind::Knot => knot(folder.path(), port, zone),
            _ => power_dns(folder.path(), port, zone),
        };
        let process = Process::start(&mut command, &folder.path().join("log"));
        let mut other = Other { process, kind, port, zone, folder };
        other.wait();
        Some(Self::Other(other))
    }

    /// `127.0.0.1:<port>`.
    pub(crate) fn address(&self) -> String {
        match self {
            Self::Bind(bind) => bind.address(),
            Self::Other(other) => format!("127.0.0.1:{}", other.port),
        }
    }

    /// What `dig` prints when it asks this server.
    pub(crate) fn dig<'text>(&self, arguments: impl IntoIterator<Item = &'text str>) -> String {
        match self {
            Self::Bind(bind) => bind.dig(arguments),
            Self::Other(other) => succeed(other.asking().args(arguments)),
        }
    }

    /// The TXT records of a name, sorted, their segments joined, and their TTLs.
    pub(crate) fn texts(&self, name: &str) -> Vec<(String, u64)> {
        let output = self.dig(["+noall", "+answer", "+tcp", "TXT", name]);
        let record = |line: &str| {
            let (owner, text) = line.split_once("TXT")?;
            let ttl = owner.split_whitespace().nth(1)?.parse().ok()?;
            Some((text.trim().trim_matches('"').replace("\" \"", ""), ttl))
        };
        let mut texts: Vec<(String, u64)> = output.lines().filter_map(record).collect();
        texts.sort();
        texts
    }

    /// How often the zone was changed: each update makes its serial greater.
    pub(crate) fn serial(&self, zone: &str) -> u32 {
        let soa = self.dig(["+short", "SOA", zone]);
        let serial = soa.split_whitespace().nth(2).and_then(|serial| serial.parse().ok());
        serial.unwrap_or_else(|| panic!("a SOA has a serial: {soa}"))
    }

    /// Changes records, in the words of `nsupdate`.
    pub(crate) fn update(&self, zone: &str, commands: &str) {
        let other = match self {
            Self::Bind(bind) => return bind.update(zone, commands),
            Self::Other(other) => other,
        };
        let script = other.folder.path().join("update");
        let text = format!("server 127.0.0.1 {}\nzone {zone}\n{commands}\nsend\n", other.port);
        fs::write(&script, text).unwrap();
        let [name, algorithm, secret] = KEY;
        let mut command = Command::new("nsupdate");
        let finished =
            run(command.arg("-y").arg(format!("{algorithm}:{name}:{secret}")).arg(script));
        assert!(finished.succeeded(), "{finished}");
    }

    pub(crate) fn stop(&mut self) {
        match self {
            Self::Bind(bind) => bind.stop(),
            Self::Other(other) => {
                other.process.stop();
            }
        }
    }

    /// Starts it again on the same port, with the zone as it was.
    pub(crate) fn start_again(&mut self) {
        match self {
            Self::Bind(bind) => bind.start_again(),
            Self::Other(other) => {
                let folder = other.folder.path();
                let mut command = match other.kind {
                    Kind::Knot => knotd(folder),
                    _ => pdns_server(folder),
                };
                other.process = Process::start(&mut command, &folder.join("log"));
                other.wait();
            }
        }
    }
}

impl Other {
    fn asking(&self) -> Command {
        let mut command = Command::new("dig");
        command.args(["@127.0.0.1", "-p", &self.port.to_string(), "+time=10", "+tries=3"]);
        command
    }

    fn wait(&mut self) {
        let mut asking = Command::new("dig");
        let port = self.port.to_string();
        asking.args(["@127.0.0.1", "-p", &port, "+time=1", "+tries=1", "+short", "SOA", self.zone]);
        self.process.wait_until(READY, || run(&mut asking).stdout.contains("hostmaster"));
    }
}

/// Writes the settings of Knot.
fn knot(folder: &Path, port: u16, zone: &str) -> Command {
    let [name, algorithm, secret] = KEY;
    let path = folder.display();
    fs::create_dir(folder.join("run")).unwrap();
    fs::create_dir(folder.join("database")).unwrap();
    let text = format!(
        "server:\n  listen: 127.0.0.1@{port}\n  rundir: {path}/run\n\
         database:\n  storage: {path}/database\n\
         log:\n- target: stderr\n  any: info\n\
         key:\n- id: {name}\n  algorithm: {algorithm}\n  secret: {secret}\n\
         acl:\n- id: update\n  key: {name}\n  action: update\n\
         zone:\n"
    );
    let zones = [zone].into_iter().chain(ZONES.map(|(zone, _)| zone)).map(|zone| {
        format!("- domain: {zone}\n  storage: {path}\n  file: {zone}\n  acl: update\n")
    });
    fs::write(folder.join("knot.conf"), text + &zones.collect::<String>()).unwrap();
    knotd(folder)
}

fn knotd(folder: &Path) -> Command {
    let mut command = Command::new(require("knotd").unwrap());
    command.arg("-c").arg(folder.join("knot.conf"));
    command
}

/// Writes the settings and the database of `PowerDNS`.
fn power_dns(folder: &Path, port: u16, zone: &str) -> Command {
    let path = folder.display();
    let text = format!(
        "launch=gsqlite3\ngsqlite3-database={path}/database\nlocal-address=127.0.0.1\nlocal-port={port}\n\
         socket-dir={path}\ndaemon=no\nguardian=no\ndisable-syslog=yes\nwrite-pid=no\ndnsupdate=yes\n\
         allow-dnsupdate-from=127.0.0.0/8\ncache-ttl=0\nquery-cache-ttl=0\nnegquery-cache-ttl=0\n\
         zone-cache-refresh-interval=0\n"
    );
    fs::write(folder.join("pdns.conf"), text).unwrap();
    let schema = "/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql";
    succeed(Command::new("sqlite3").arg(folder.join("database")).arg(format!(".read {schema}")));
    let [name, algorithm, secret] = KEY;
    let set = |arguments: &[&str]| {
        let mut command = Command::new("pdnsutil");
        succeed(command.arg(format!("--config-dir={path}")).args(arguments));
    };
    set(&["import-tsig-key", name, algorithm, secret]);
    for zone in [zone].into_iter().chain(ZONES.map(|(zone, _)| zone)) {
        set(&["load-zone", zone, &folder.join(zone).display().to_string()]);
        set(&["set-meta", zone, "TSIG-ALLOW-DNSUPDATE", name]);
        set(&["set-meta", zone, "SOA-EDIT-DNSUPDATE", "INCREASE"]);
    }
    pdns_server(folder)
}

fn pdns_server(folder: &Path) -> Command {
    let mut command = Command::new(require("pdns_server").unwrap());
    command.arg(format!("--config-dir={}", folder.display()));
    command
}
