//! A place in which the commands of a page are run: the places and names of the examples stand for
//! others here, and what would run for ever runs in the background.

use std::env;
use std::fmt::Write;
use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::common::{Process, free_address, http, roadstead, run, succeed};
use crate::docs::blocks::{Shown, commands};
use crate::docs::docker::Docker;
use crate::docs::repository;
use crate::docs::users::Account;

const READY: Duration = Duration::from_secs(30);

/// Folders of the machine that are below the sandbox instead.
const FOLDERS: [&str; 9] = [
    "/var/lib/roadstead",
    "/var/lib/registry",
    "/etc/roadstead",
    "/etc/docker",
    "/etc/systemd/system",
    "/etc/nginx",
    "/usr/local/bin",
    "/usr/local/share/man",
    "/srv",
];

/// What is shown and not run, and why.
const SHOWN: [(&str, &str); 2] = [
    ("useradd ", "it would change the machine"),
    ("cargo build ", "what the tests built is in its place"),
];

/// Folders and processes of one page.
pub(crate) struct Sandbox {
    // Fields are dropped in this order: the processes go before their folder.
    server: Option<Process>,
    proxy: Option<Process>,
    folder: TempDir,
    /// Where Roadstead listens.
    address: String,
    /// Where nginx does.
    secure: String,
    docker: Docker,
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let (address, secure) = (free_address(), free_address());
        let docker = Docker::new(folder.path().join("etc/docker/certs.d"));
        let sandbox = Self { server: None, proxy: None, folder, address, secure, docker };
        // Everybody comes in, as everywhere outside.
        fs::set_permissions(sandbox.folder.path(), Permissions::from_mode(0o755)).unwrap();
        for path in FOLDERS.map(|path| &path[1..]) {
            fs::create_dir_all(sandbox.path(path).parent().unwrap()).unwrap();
        }
        for path in [
            "work/target/release",
            "work/home",
            "usr/local/bin",
            "etc/nginx/conf.d",
            "nginx",
            "srv",
        ] {
            fs::create_dir_all(sandbox.path(path)).unwrap();
        }
        // The files that the pages speak of, with the names of this sandbox.
        for folder in ["examples", "config"] {
            let copies = sandbox.path("work").join(folder);
            fs::create_dir(&copies).unwrap();
            // An example that is a folder has a page, and a test, of its own.
            let files = fs::read_dir(repository().join(folder)).unwrap().map(Result::unwrap);
            for file in files.filter(|file| file.path().is_file()) {
                let text = sandbox.translate(&fs::read_to_string(file.path()).unwrap());
                fs::write(copies.join(file.file_name()), text).unwrap();
            }
        }
        symlink(binary(), sandbox.path("work/target/release/roadstead")).unwrap();
        for path in ["work", "work/home"] {
            sandbox.hand_over(path, Account::User);
        }
        fs::write(sandbox.path("nginx.conf"), sandbox.nginx()).unwrap();
        sandbox
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// Puts Roadstead in the PATH.
    pub(crate) fn add_roadstead(&self) {
        self.add("roadstead", &binary());
    }

    /// Puts a program in the PATH, where everybody may run it.
    pub(crate) fn add(&self, name: &str, program: &Path) {
        fs::copy(program, self.path("usr/local/bin").join(name)).unwrap();
    }

    fn hand_over(&self, path: &str, account: Account) {
        let (user, group) = account.ids();
        chown(self.path(path), Some(user), Some(group)).unwrap();
    }

    /// Where nginx listens: `localhost:<port>`.
    pub(crate) fn secure(&self) -> String {
        format!("localhost:{}", port(&self.secure))
    }

    /// Runs the commands of a page; returns each as it was run, with what it said.
    pub(crate) fn follow(&mut self, page: &str) -> Vec<(String, String)> {
        let mut done = Vec::new();
        for Shown { command, output } in commands(page) {
            let (account, command) = Account::of(&command);
            let command = self.translate(command);
            if SHOWN.iter().any(|(beginning, _)| command.starts_with(beginning)) {
                continue;
            }
            let is_roots = account == Account::Root && command.starts_with("roadstead ");
            assert!(!is_roots || !command.contains("--data"), "`{command}` may make files of root");
            let printed = self.obey(account, &command);
            for line in output.iter().filter(|_| !is_server(&command)) {
                let is_printed = printed.lines().any(|printed| masked(printed) == masked(line));
                assert!(is_printed, "`{command}` does not say `{line}`, but:\n{printed}");
            }
            done.push((command, printed));
        }
        done
    }

    /// What the examples' names stand for, those first that others are a part of.
    fn table(&self) -> Vec<(&'static str, String)> {
        let (user, group) = Account::Service.ids();
        let secure_port = port(&self.secure);
        // Where there is no IPv6, nothing can listen on it.
        let or_not = if TcpListener::bind("[::1]:0").is_ok() { "" } else { "# " };
        let mut table: Vec<(&str, String)> = vec![
            ("roadstead:roadstead ", format!("{user}:{group} ")),
            ("-o roadstead -g roadstead ", format!("-o {user} -g {group} ")),
            ("cargo run --release -- ", "roadstead ".to_owned()),
            // It would ask at the terminal.
            ("htpasswd -B ", "echo secret | htpasswd -i -B ".to_owned()),
            ("nginx -t", format!("nginx -t -c {}", self.path("nginx.conf").display())),
            ("listen 443 ", format!("listen {} ", self.secure)),
            ("listen [::]:443 ", format!("{or_not}listen [::1]:{secure_port} ")),
            // Of the file of all settings; the others have one of those that follow.
            ("#listen = ", "listen = ".to_owned()),
            // The example's own address is nobody's here either, until the page changes it.
            ("192.168.1.10:5000", format!("192.168.1.10:{}", port(&self.address))),
            ("/0.0.0.0/", "/127.0.0.1/".to_owned()),
            ("0.0.0.0:5000", self.address.clone()),
            ("127.0.0.1:5000", self.address.clone()),
            ("registry.example.com:5000", format!("localhost:{}", port(&self.address))),
            ("=registry.example.com", "=localhost".to_owned()),
            ("DNS:registry.example.com", "DNS:localhost".to_owned()),
            ("server_name registry.example.com", "server_name localhost".to_owned()),
            ("registry.example.com", self.secure()),
        ];
        table.extend(FOLDERS.map(|path| (path, self.path(&path[1..]).display().to_string())));
        table
    }

    fn translate(&self, text: &str) -> String {
        let table = self.table();
        table.iter().fold(text.to_owned(), |text, (name, other)| text.replace(name, other))
    }

    /// Runs one command; returns what it said.
    fn obey(&mut self, account: Account, command: &str) -> String {
        let words: Vec<&str> = command.split_whitespace().collect();
        match words[..] {
            ["systemctl", "stop", "roadstead"] => self.server = None,
            ["systemctl", "enable", "--now", "roadstead"]
            | ["systemctl", "start" | "restart", "roadstead"] => self.start_unit(),
            ["systemctl", "reload", "nginx"] => self.start_nginx(),
            ["docker", "login", host] => self.docker.login(host, "anna", "secret"),
            ["docker", "tag", _, _] => {}
            ["docker", "push", reference] => self.docker.push(reference),
            ["docker", "pull", reference] => self.docker.pull(reference),
            ["systemctl" | "docker" | "service", ..] => panic!("`{command}` is not known here"),
            _ if is_server(command) => {
                // By default it would listen where another may.
                let listen = format!("ROADSTEAD_SERVER__LISTEN={} ", self.address);
                let command = command.replace("roadstead serve", "exec roadstead serve");
                self.serve(account, &(listen + &command));
            }
            _ => {
                if command.contains("/var/lib/registry") {
                    self.leave_stock_registry();
                }
                let finished = run(&mut self.shell_of(account, command));
                assert!(finished.succeeded(), "{finished}");
                // Of a key that it does not know it only warns.
                assert!(!finished.stderr.contains("roadstead.service:"), "{finished}");
                return finished.stdout;
            }
        }
        String::new()
    }

    /// A shell that runs a command where the pages suppose it to be run, as root if the tests do.
    pub(crate) fn shell(&self, command: &str) -> Command {
        self.shell_of(Account::Root, command)
    }

    fn shell_of(&self, account: Account, command: &str) -> Command {
        let mut shell = Command::new("bash");
        for (name, _) in env::vars_os() {
            if name.to_string_lossy().starts_with("ROADSTEAD_") {
                shell.env_remove(name);
            }
        }
        let path = env::var("PATH").unwrap_or_default();
        shell
            .args(["-euo", "pipefail", "-c", &format!("umask 022; {command}")])
            .current_dir(self.path("work"))
            .env("PATH", format!("{}:{path}:/usr/sbin:/sbin", self.path("usr/local/bin").display()))
            .env("HOME", self.path("work/home"))
            .env("IPFS_PATH", self.path("work/home/ipfs"))
            .env("IPFS_TELEMETRY", "off");
        account.takes(&mut shell);
        shell
    }

    /// Starts a server in the place of the one that runs.
    fn serve(&mut self, account: Account, command: &str) {
        self.server = None;
        let shell = &mut self.shell_of(account, command);
        let mut process = Process::start(shell, &self.path("server.log"));
        let host = format!("{}/healthz", self.address);
        process.wait_until(READY, || {
            ["https", "http"].iter().any(|scheme| {
                let url = format!("{scheme}://{host}");
                http::try_send(|client| client.get(url)).is_ok_and(|answer| answer.status == 200)
            })
        });
        self.server = Some(process);
    }

    /// Does what systemd would do with the unit that was put in place.
    fn start_unit(&mut self) {
        let file = self.path("etc/systemd/system/roadstead.service");
        let unit = fs::read_to_string(file).unwrap();
        let values = |name: &str| -> Vec<&str> {
            unit.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('=')).collect()
        };
        let value = |name: &str| match values(name)[..] {
            [value] => value,
            _ => panic!("the unit says not one {name}: {unit}"),
        };
        let path = format!("var/lib/{}", value("StateDirectory"));
        let mode = u32::from_str_radix(value("StateDirectoryMode"), 8).unwrap();
        fs::create_dir_all(self.path(&path)).unwrap();
        fs::set_permissions(self.path(&path), Permissions::from_mode(mode)).unwrap();
        self.hand_over(&path, Account::Service);
        assert_eq!((value("User"), value("Group")), ("roadstead", "roadstead"));
        let (umask, environment) = (value("UMask"), value("Environment"));
        let start = value("ExecStart");
        self.serve(Account::Service, &format!("umask {umask}; {environment} exec {start}"));
    }

    pub(crate) fn start_nginx(&mut self) {
        let config = self.path("nginx.conf");
        let command = format!("exec nginx -c {} -g 'daemon off;'", config.display());
        let mut process = Process::start(&mut self.shell(&command), &self.path("nginx.log"));
        let url = format!("https://{}/healthz", self.secure());
        process.wait_until(READY, || http::try_send(|client| client.get(&url)).is_ok());
        self.proxy = Some(process);
    }

    /// What stands around `conf.d`, as a distribution has it, with nothing outside of the sandbox.
    fn nginx(&self) -> String {
        let mut text = String::new();
        let path = self.path("nginx");
        let path = path.display();
        if rustix::process::geteuid().is_root() {
            text.push_str("user root;\n");
        }
        writeln!(text, "pid {path}/pid;\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log off;")
            .unwrap();
        for temporary in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
            writeln!(text, "{temporary}_temp_path {path}/{temporary};").unwrap();
        }
        let sites = self.path("etc/nginx/conf.d");
        writeln!(text, "include {}/*.conf;\n}}", sites.display()).unwrap();
        text
    }

    /// Leaves the folder of a registry that nobody serves any more: our own has that layout.
    /// `tests/clients/stock_registry.rs` has a real one.
    fn leave_stock_registry(&self) {
        let (own, old) = (self.path("var/lib/roadstead/public"), self.path("var/lib/registry"));
        if !old.exists() {
            succeed(Command::new("cp").arg("-r").arg(own).arg(old));
        }
    }

    /// Puts a file of the examples in a place of the sandbox.
    pub(crate) fn install(&self, example: &str, path: &str) {
        let target = self.path(path);
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(self.path("work/examples").join(example), target).unwrap();
    }

    pub(crate) fn serve_with(&mut self, config: &Path) {
        self.serve(Account::Root, &format!("exec roadstead serve --config {}", config.display()));
    }
}

/// The binary that the tests built.
fn binary() -> PathBuf {
    PathBuf::from(roadstead([""]).get_program())
}

fn is_server(command: &str) -> bool {
    command.contains("roadstead serve")
}

fn port(address: &str) -> &str {
    address.rsplit(':').next().unwrap()
}

/// A line without what differs from one time to the next: numbers and CIDs.
fn masked(line: &str) -> String {
    let word = |word: &str| {
        let trimmed = word.trim_end_matches([':', ';', ',']);
        if trimmed.starts_with("bafy") {
            return word.replace(trimmed, "CID");
        }
        let is_number =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if is_number(trimmed.trim_start_matches('(')) { "N".to_owned() } else { word.to_owned() }
    };
    line.split_whitespace().map(word).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_command_that_fails_fails_the_page() {
    let sandbox = Sandbox::new();
    sandbox.add_roadstead();
    assert!(run(&mut sandbox.shell("roadstead --version")).succeeded());
    assert!(!run(&mut sandbox.shell("roadstead check --no-such-flag")).succeeded());
    assert!(!run(&mut sandbox.shell("false | true")).succeeded());
}
