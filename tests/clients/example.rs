//! `examples/two-operators` is right: each command of its page is run, with docker, a Kubo node, a Postgres and a
//! name server, and says what is shown. Only the ports are others, and what stands for busybox is made here.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::clients::docker::Docker;
use crate::clients::target::Target;
use crate::common::{Postgres, Process, free_address, http, require, roadstead, run, succeed};
use crate::docs::blocks::{Shown, commands};

const READY: Duration = Duration::from_mins(1);

/// What the page needs beside docker and Postgres.
const TOOLS: [&str; 5] = ["named", "dig", "tsig-keygen", "ipfs", "busybox"];

/// The ports of the page: of the name server, the registries, and the node's RPC and gateway.
const PORTS: [&str; 6] = ["5300", "5001", "5002", "5003", "5011", "5012"];

/// A folder in which the page is followed.
struct Walk {
    // Fields are dropped in this order: the processes go before their folder.
    running: Vec<Process>,
    docker: Docker,
    ports: HashMap<&'static str, String>,
    postgres: Postgres,
    folder: TempDir,
}

#[test]
fn two_operators_publish_and_pull_as_their_page_says() {
    if TOOLS.iter().any(|tool| require(tool).is_none()) {
        return;
    }
    let Some(postgres) = Postgres::start(&[]) else { return };
    let Some(docker) = Docker::find(&Target::open("127.0.0.1:1")) else { return };
    let mut walk = Walk::new(docker, postgres);
    walk.make_busybox();
    let page = fs::read_to_string(source("examples/two-operators/README.md"))
        .expect("the example has a page");
    let shown = commands(&page);
    // Lest a fence make all of them vanish.
    assert!(shown.len() >= 25, "{shown:?}");
    for Shown { command, output } in shown {
        walk.follow(&command, &output);
    }
    walk.remove_images();
}

impl Walk {
    fn new(docker: Docker, postgres: Postgres) -> Self {
        let port = || free_address().rsplit(':').next().expect("it has a port").to_owned();
        let ports = PORTS.map(|name| (name, port())).into();
        let folder = TempDir::new().expect("a temporary folder can be made");
        let walk = Self { running: Vec::new(), docker, ports, postgres, folder };
        for (from, to) in
            [("examples/two-operators", ""), ("scripts", "scripts"), ("config", "config")]
        {
            let destination = walk.folder.path().join(to);
            fs::create_dir_all(&destination).expect("a folder can be made");
            for file in fs::read_dir(source(from)).expect("it is a folder") {
                let file = file.expect("it can be read").path();
                let copy = destination.join(file.file_name().expect("it has a name"));
                // With its mode, since some are programs.
                fs::copy(&file, &copy).expect("it can be copied");
                if let ("", Ok(text)) = (to, fs::read_to_string(&file)) {
                    fs::write(copy, walk.translate(&text)).expect("it can be written");
                }
            }
        }
        walk
    }

    /// Puts other ports, and the Postgres of the test, in the place of those of the page.
    fn translate(&self, text: &str) -> String {
        let database = "postgres://postgres:operators@127.0.0.1:5013/postgres";
        let text = text.replace(database, &self.postgres.url());
        self.ports.iter().fold(text, |text, (name, port)| {
            // An address, a multiaddr, and what stands by itself.
            let text = text.replace(&format!("127.0.0.1:{name}"), &format!("127.0.0.1:{port}"));
            let text = text.replace(&format!("/tcp/{name}"), &format!("/tcp/{port}"));
            text.replace(&format!(" {name}"), &format!(" {port}"))
        })
    }

    /// An image of one program under two names, which stands for what the page takes from elsewhere. No layer
    /// is in another test's image: docker would not pull it, and then nobody has it in the end.
    fn make_busybox(&self) {
        let busybox = require("busybox").expect("it was there");
        let image = self.folder.path().join("image");
        fs::create_dir(&image).expect("a folder can be made");
        fs::copy(busybox, image.join("busybox")).expect("busybox can be copied");
        fs::write(image.join("own"), self.folder.path().as_os_str().as_encoded_bytes())
            .expect("a file can be written");
        let text = "FROM scratch\nCOPY busybox own /bin/\nCOPY busybox /bin/echo\n";
        fs::write(image.join("Dockerfile"), text).expect("a file can be written");
        succeed(&mut self.shell("docker build --tag busybox:1 image"));
    }

    /// The daemon is shared with other tests.
    fn remove_images(&self) {
        let all = "docker images --format '{{.Repository}}:{{.Tag}}'";
        for image in succeed(&mut self.shell(all)).lines().filter(|it| it.contains("/team/hello:"))
        {
            succeed(&mut self.shell(&format!("docker rmi {image}")));
        }
    }

    /// Does what a command says; what would run for ever runs in the background.
    fn follow(&mut self, command: &str, output: &[String]) {
        let command = self.translate(command);
        let ready = self.readiness(&command);
        let Some(ready) = ready else {
            let finished = run(&mut self.shell(&command));
            assert!(finished.succeeded(), "{finished}{}", self.logs());
            for line in output {
                let line = self.translate(line);
                let (before, after) = line.split_once("bafybei…").unwrap_or((&line, ""));
                let is_printed = finished
                    .stdout
                    .lines()
                    .any(|printed| printed.starts_with(before) && printed.ends_with(after));
                assert!(is_printed, "`{command}` does not say `{line}`, but:\n{finished}");
            }
            return;
        };
        let last = ["roadstead serve", "ipfs daemon", "named -g"];
        let program = last.into_iter().find(|it| command.contains(it)).expect("it is one of them");
        let command = command.replace(program, &format!("exec {program}"));
        let log = self.folder.path().join(format!("{}.log", self.running.len()));
        let mut process = Process::start(&mut self.shell(&command), &log);
        process.wait_until(READY, ready);
        self.running.push(process);
    }

    /// Returns what tells whether a command is ready that does not end by itself.
    fn readiness(&self, command: &str) -> Option<Box<dyn Fn() -> bool>> {
        let answers = |url: String| {
            Box::new(move || {
                http::try_send(|client| client.get(&url)).is_ok_and(|it| it.status == 200)
            })
        };
        if command.starts_with("named ") {
            let port = self.ports["5300"].clone();
            return Some(Box::new(move || {
                let mut dig = Command::new("dig");
                dig.args([
                    "@127.0.0.1",
                    "-p",
                    &port,
                    "+time=1",
                    "+tries=1",
                    "+short",
                    "SOA",
                    "a.test",
                ]);
                run(&mut dig).stdout.contains("hostmaster")
            }));
        }
        if command.contains("ipfs daemon") {
            return Some(answers(format!("http://127.0.0.1:{}/ipfs/bafkqaaa", self.ports["5012"])));
        }
        if !command.contains("roadstead serve") {
            return None;
        }
        let operators = [("a.toml", "5001"), ("b.toml", "5002"), ("c.toml", "5003")];
        let operator = operators.iter().find(|(settings, _)| command.contains(settings));
        let port = operator.expect("it is one of them").1;
        Some(answers(format!("http://127.0.0.1:{}/healthz", self.ports[port])))
    }

    /// A shell in the folder, with the programs that are tested in its PATH.
    fn shell(&self, script: &str) -> Command {
        let programs = [
            PathBuf::from(roadstead([""]).get_program()),
            require("ipfs").expect("it was there"),
            require("docker").expect("it was there"),
        ];
        let folders = programs.iter().filter_map(|program| program.parent());
        let path: Vec<String> = folders.map(|folder| folder.display().to_string()).collect();
        let rest = std::env::var("PATH").unwrap_or_default();
        let mut shell = self.docker.shell(script);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("ROADSTEAD_") {
                shell.env_remove(name);
            }
        }
        shell
            .current_dir(self.folder.path())
            .env("PATH", format!("{}:{rest}:/usr/sbin:/sbin", path.join(":")))
            .env("IPFS_TELEMETRY", "off");
        shell
    }

    /// What those in the background have said.
    fn logs(&self) -> String {
        self.running.iter().map(Process::log).collect::<Vec<_>>().join("\n")
    }
}

fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
