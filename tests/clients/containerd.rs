//! containerd of the test's own, asked by its `ctr`.

use std::env;
use std::ffi::OsString;
use std::fmt::Write;
use std::iter;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::clients::face::{self, Face, on_each_face};
use crate::clients::home::Home;
use crate::clients::image::{Image, sums};
use crate::clients::link::{Link, Manner};
use crate::clients::registry::Registry;
use crate::clients::release::Release;
use crate::clients::skopeo::Skopeo;
use crate::clients::target::Target;
use crate::common::repository::Repository;
use crate::common::{Process, Server, require, require_root, run, succeed};
use crate::federation::operators::{DOMAIN, Operators};

const READY: Duration = Duration::from_mins(1);

/// Without the part for Kubernetes, which looks into /etc/cni and would listen.
const CONFIG: &str = "version = 2\ndisabled_plugins = ['io.containerd.grpc.v1.cri']\n";

pub(crate) struct Containerd {
    // Fields are dropped in this order: the daemon goes before its folder.
    daemon: Process,
    home: Home,
    client: PathBuf,
    target: Target,
}

impl Containerd {
    pub(crate) fn start(release: Release, target: &Target) -> Option<Self> {
        Self::start_with(release, target, "")
    }

    /// Starts it with more in its settings.
    fn start_with(release: Release, target: &Target, settings: &str) -> Option<Self> {
        let (client, daemon) = (release.require("ctr")?, release.require("containerd")?);
        require("runc")?;
        require_root()?;
        let home = Home::new();
        let config = home.write("containerd.toml", format!("{CONFIG}{settings}"));
        home.write(&format!("hosts/{}/hosts.toml", target.address()), hosts(&home, target));
        let mut command = home.command(&daemon);
        command.arg("--config").arg(config).env("PATH", beside(&daemon));
        for (option, name) in [("--root", "root"), ("--state", "state"), ("--address", "sock")] {
            command.arg(option).arg(home.path().join("containerd").join(name));
        }
        let daemon = Process::start(&mut command, &home.path().join("containerd.log"));
        let mut containerd = Self { daemon, home, client, target: target.clone() };
        let mut version = containerd.command(&["--connect-timeout", "1s", "version"]);
        containerd.daemon.wait_until(READY, || run(&mut version).succeeded());
        Some(containerd)
    }

    /// Pulls and unpacks an image.
    fn pull(&self, reference: &str) {
        succeed(&mut self.remote("pull", reference));
    }

    fn push(&self, reference: &str) {
        succeed(&mut self.remote("push", reference));
    }

    /// Has the registry stand for a host that images are named after.
    fn mirror(&self, host: &str, target: &Target, capabilities: &[&str]) {
        let (url, name) = (target.url(""), format!("hosts/{host}/hosts.toml"));
        let text = format!("server = {url:?}\n[host.{url:?}]\ncapabilities = {capabilities:?}\n");
        self.home.write(&name, text);
    }

    /// A command that speaks to the registry.
    pub(crate) fn remote(&self, subcommand: &str, reference: &str) -> Command {
        let mut command = self.command(&["images", subcommand, "--hosts-dir"]);
        command.arg(self.home.path().join("hosts"));
        if let Some(user) = self.target.user() {
            command.arg("--user").arg(format!("{}:{}", user.name, user.password));
        }
        command.arg(reference);
        command
    }

    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = self.home.command(&self.client);
        command.arg("--address").arg(self.home.path().join("containerd/sock")).args(words);
        command
    }
}

/// Where it looks for programs: first beside itself, where the shim of its release is.
fn beside(daemon: &Path) -> OsString {
    let own = daemon.parent().expect("a program stands in a folder").to_owned();
    let others = env::var_os("PATH").unwrap_or_default();
    let folders = iter::once(own).chain(env::split_paths(&others));
    env::join_paths(folders).expect("a folder of PATH has no colon")
}

/// What it is told of a registry in `hosts.toml`.
fn hosts(home: &Home, target: &Target) -> String {
    let mut text = format!("[host.{:?}]\n", target.url(""));
    if let Some(file) = home.authority(target) {
        writeln!(text, "ca = {:?}", file.display().to_string()).expect("a string takes everything");
    }
    text
}

on_each_face!(containerd_pulls_runs_and_pushes_an_image_of_ten_layers);
on_each_face!(the_newest_containerd_pulls_runs_and_pushes_an_image_of_ten_layers);

fn containerd_pulls_runs_and_pushes_an_image_of_ten_layers(face: Face) {
    pull_run_and_push(Release::Debian, face);
}

fn the_newest_containerd_pulls_runs_and_pushes_an_image_of_ten_layers(face: Face) {
    pull_run_and_push(Release::Newest, face);
}

fn pull_run_and_push(release: Release, face: Face) {
    let registry = Registry::start_as(face);
    let Some(containerd) = Containerd::start(release, registry.target()) else { return };
    let Some(skopeo) = Skopeo::find(registry.target()) else { return };
    let Some(busybox) = require("busybox") else { return };
    let image = Image::new(&busybox);
    let layout = image.write_layout();
    let (app, other) = (registry.reference("team/app:v1"), registry.reference("other/app:v2"));
    skopeo.push(&layout, &app);
    let files = image.files();
    // runc knows containers by name, whichever containerd they belong to.
    let (_, port) = registry.target().address().rsplit_once(':').expect("an address has a port");
    let name = format!("roadstead-test-{port}");
    let sums_of = |reference: &str| {
        let mut run = containerd.command(&["run", "--rm", reference, &name]);
        sums(&succeed(run.args(["/bin/busybox", "sha256sum"]).args(files.keys())))
    };

    containerd.pull(&app);
    assert_eq!(sums_of(&app), files);
    succeed(&mut containerd.command(&["images", "tag", &app, &other]));
    containerd.push(&other);
    assert_eq!(registry.digest("other/app", "v2"), layout.contents().manifest);

    succeed(&mut containerd.command(&["images", "rm", "--sync", &app, &other]));
    assert_eq!(succeed(&mut containerd.command(&["content", "ls", "--quiet"])), "");
    containerd.pull(&other);
    assert_eq!(sums_of(&other), files);
    let images = succeed(&mut containerd.command(&["images", "ls"]));
    assert!(images.contains(&layout.contents().manifest), "{images}");
}

#[test]
fn containerd_pulls_as_a_stranger_by_a_token() {
    let registry = Registry::start_as(face::TLS_AND_TOKENS);
    let Some(containerd) = Containerd::start(Release::Debian, &registry.target_of_strangers())
    else {
        return;
    };
    let Some(skopeo) = Skopeo::find(registry.target()) else { return };
    let Some(busybox) = require("busybox") else { return };
    let layout = Image::new(&busybox).write_layout();
    let (app, other) = (registry.reference("team/app:v1"), registry.reference("other/app:v1"));
    skopeo.push(&layout, &app);

    containerd.pull(&app);

    let images = succeed(&mut containerd.command(&["images", "ls"]));
    assert!(images.contains(&layout.contents().manifest), "{images}");
    succeed(&mut containerd.command(&["images", "tag", &app, &other]));
    let refused = run(&mut containerd.remote("push", &other));
    assert!(!refused.succeeded() && refused.stderr.contains("insufficient_scope"), "{refused}");
    assert_eq!(registry.repositories(), ["team/app"]);
}

/// A4: as a mirror of docker.io the registry had none of its images.
#[test]
fn containerd_pulls_from_a_mirror_of_docker_io() {
    pull_from_a_mirror(Release::Debian);
}

#[test]
fn the_newest_containerd_pulls_from_a_mirror_of_docker_io() {
    pull_from_a_mirror(Release::Newest);
}

fn pull_from_a_mirror(release: Release) {
    // A name server that says nothing: nothing leaves this machine.
    let dns = UdpSocket::bind("127.0.0.1:0").expect("loopback has free ports");
    let servers = dns.local_addr().expect("a bound socket has an address").to_string();
    let server = Server::start_with(move |command| {
        command
            .env("ROADSTEAD_DNSLINK__SERVERS", &servers)
            .env("ROADSTEAD_FEDERATION__KUBO__API", "none");
    });
    let target = Target::of(&server);
    let Some(containerd) = Containerd::start(release, &target) else { return };
    let Some(skopeo) = Skopeo::find(&target) else { return };
    let Some(busybox) = require("busybox") else { return };
    let layout = Image::new(&busybox).write_layout();
    skopeo.push(&layout, &target.reference("library/demo:1"));
    containerd.mirror("docker.io", &target, &["pull", "resolve"]);

    containerd.pull("docker.io/library/demo:1");

    let images = succeed(&mut containerd.command(&["images", "ls"]));
    assert!(images.contains(&layout.contents().manifest), "{images}");
    assert!(images.contains("docker.io/library/demo:1"), "{images}");
}

/// As the mirror of a domain of its own, the registry takes pushes, too.
#[test]
fn containerd_pushes_and_pulls_by_the_domain_of_a_registry() {
    for release in [Release::Debian, Release::Newest] {
        let server = Server::start_with(|command| {
            command.env("ROADSTEAD_SERVER__DOMAINS", "own.test");
        });
        let target = Target::of(&server);
        let Some(containerd) = Containerd::start(release, &target) else { return };
        let Some(skopeo) = Skopeo::find(&target) else { return };
        let Some(busybox) = require("busybox") else { return };
        let layout = Image::new(&busybox).write_layout();
        skopeo.push(&layout, &target.reference("team/app:v1"));
        containerd.mirror("own.test", &target, &["pull", "resolve", "push"]);

        containerd.pull("own.test/team/app:v1");
        let tag = ["images", "tag", "own.test/team/app:v1", "own.test/other/app:v2"];
        succeed(&mut containerd.command(&tag));
        containerd.push("own.test/other/app:v2");

        let own = Repository::of(&server, "other/app");
        let pushed = own.get("manifests/v2");
        let digest = pushed.header("docker-content-digest");
        assert_eq!((pushed.status, digest), (200, &*layout.contents().manifest), "{release:?}");
    }
}

/// How large the image is that comes in pieces, and each of them.
const LAYER: usize = 24 << 20;
const PIECES: &str = "
[plugins.'io.containerd.transfer.v1.local']
concurrent_layer_fetch_buffer = 1048576
max_concurrent_downloads = 4
";

/// It asks for pieces without naming their end, several at once, and hangs up after each.
#[test]
fn the_newest_containerd_pulls_a_foreign_layer_in_pieces_at_once() {
    let Some(operators) = Operators::start() else { return };
    let target = Target::open(operators.other.address());
    let Some(containerd) = Containerd::start_with(Release::Newest, &target, PIECES) else { return };
    let publisher = operators.publisher.address();
    let Some(skopeo) = Skopeo::find(&Target::open(publisher)) else { return };
    let layout = Image::write_one_layer(LAYER);
    skopeo.push(&layout, &format!("{publisher}/team/app:v1"));
    let slow = Manner { per_mebibyte: Duration::from_millis(40), ..Manner::default() };
    let link = Link::start(publisher, slow);
    operators.publish_as(&format!("dnslink=/ipfs/{}", operators.root()), &link.hint());
    containerd.mirror(DOMAIN, &target, &["pull", "resolve"]);

    containerd.pull(&format!("{DOMAIN}/team/app:v1"));

    let images = succeed(&mut containerd.command(&["images", "ls"]));
    assert!(images.contains(&layout.contents().manifest), "{images}");
    // Nothing came twice from the publisher.
    let came = link.take();
    assert!(came < LAYER + LAYER / 10, "{came} bytes");
    let log = operators.other.log();
    let parts = log.lines().filter(|line| line.contains("\"status\":206")).count();
    assert!(parts >= LAYER >> 20, "{parts} parts: {log}");
}
