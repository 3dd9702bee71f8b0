//! docker with a dockerd of the tests' own, which leaves the machine's alone.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use crate::clients::face::{self, Face, on_each_face};
use crate::clients::home::Home;
use crate::clients::image::{Image, LAYERS, sums};
use crate::clients::proxy;
use crate::clients::registry::Registry;
use crate::clients::skopeo::Skopeo;
use crate::clients::target::Target;
use crate::common::authority;
use crate::common::{Process, require, require_root, run, succeed};

/// dockerd was ready after 6 seconds on 2 idle cores.
const READY: Duration = Duration::from_mins(2);

/// A daemon that lives as long as somebody holds this.
struct Daemon {
    // Fields are dropped in this order: the process goes before its folder.
    process: Process,
    home: Home,
}

impl Daemon {
    /// The daemon that all tests share while one of them runs: the last one out ends it.
    fn shared() -> Option<Arc<Self>> {
        static SHARED: Mutex<Weak<Daemon>> = Mutex::new(Weak::new());

        let (client, daemon) = (require("docker")?, require("dockerd")?);
        require_root()?;
        // A test that failed while it started the daemon left nothing behind: the next one starts anew.
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(daemon) = shared.upgrade() {
            return Some(daemon);
        }
        let daemon = Arc::new(Self::start(&client, &daemon));
        *shared = Arc::downgrade(&daemon);
        Some(daemon)
    }

    fn start(client: &Path, daemon: &Path) -> Self {
        let home = Home::new();
        let mut command = home.command(daemon);
        command
            .arg("--data-root")
            .arg(home.path().join("data"))
            .arg("--exec-root")
            .arg(home.path().join("exec"))
            .arg("--pidfile")
            .arg(home.path().join("pid"))
            .arg("--config-file")
            .arg(home.write("daemon.json", "{}"))
            .arg("--host")
            .arg(host(&home))
            // Every registry of the run has its certificate from this authority.
            .env("SSL_CERT_FILE", home.write("ca.pem", authority::certificate()))
            .env("HTTPS_PROXY", proxy::start())
            // Where the machine runs a containerd it is used, so what is the machine's keeps apart.
            .args(["--containerd-namespace=roadstead-tests"])
            .args(["--containerd-plugins-namespace=roadstead-tests-plugins"])
            // The containers here have no network, so nobody's firewall or bridges need be touched.
            .args(["--bridge=none", "--iptables=false", "--ip6tables=false"]);
        let process = Process::start(&mut command, &home.path().join("dockerd.log"));
        let mut daemon = Self { process, home };
        let mut version = daemon.command(&daemon.home, client);
        version.arg("version");
        daemon.process.wait_until(READY, || run(&mut version).succeeded());
        daemon
    }

    /// A client of this daemon that lives in a home.
    fn command(&self, home: &Home, client: &Path) -> Command {
        let mut command = home.command(client);
        command.env("DOCKER_HOST", host(&self.home));
        command
    }
}

/// A docker client that has signed in where its registry wants that.
pub(crate) struct Docker {
    daemon: Arc<Daemon>,
    home: Home,
    client: PathBuf,
    target: Target,
}

impl Docker {
    pub(crate) fn find(target: &Target) -> Option<Self> {
        let docker = Self::of_stranger(target)?;
        if docker.target.user().is_some() {
            succeed(&mut docker.login(&docker.target));
        }
        Some(docker)
    }

    /// A client that has not signed in.
    pub(crate) fn of_stranger(target: &Target) -> Option<Self> {
        let daemon = Daemon::shared()?;
        let client = require("docker")?;
        // dockerd checks no certificate of 127.0.0.0/8.
        let target = if target.is_plain() { target.clone() } else { target.at(authority::NAME) };
        Some(Self { daemon, home: Home::new(), client, target })
    }

    pub(crate) fn reference(&self, name: &str) -> String {
        self.target.reference(name)
    }

    /// What it keeps of registries.
    pub(crate) fn config(&self) -> String {
        let file = self.home.path().join("docker/config.json");
        fs::read_to_string(file).expect("it has signed in")
    }

    /// Where its daemon is, as `DOCKER_HOST` says it.
    pub(crate) fn host(&self) -> String {
        host(&self.daemon.home)
    }

    /// The host and port that its references begin with.
    pub(crate) fn address(&self) -> &str {
        self.target.address()
    }

    fn login(&self, target: &Target) -> Command {
        let user = target.user().expect("who signs in has a name");
        let mut command = self.command("login");
        command.args(["--username", user.name, "--password", user.password]);
        command.arg(self.target.address());
        command
    }

    pub(crate) fn command(&self, subcommand: &str) -> Command {
        let mut command = self.daemon.command(&self.home, &self.client);
        command
            .arg(subcommand)
            // The classic builder needs no plug-in and makes one layer of each COPY.
            .env("DOCKER_BUILDKIT", "0");
        command
    }

    /// A shell whose docker speaks to the daemon of the tests.
    pub(crate) fn shell(&self, script: &str) -> Command {
        let mut shell = self.daemon.command(&self.home, Path::new("bash"));
        shell.args(["-euo", "pipefail", "-c", script]).env("DOCKER_BUILDKIT", "0");
        shell
    }

    pub(crate) fn build(&self, image: &Image, reference: &str) {
        let mut command = self.command("build");
        // What it keeps of one test's images, another test may be removing.
        command.args(["--no-cache", "--tag", reference, "--file"]);
        succeed(command.arg(image.dockerfile()).arg(image.folder()));
    }

    fn tag(&self, reference: &str, other: &str) {
        succeed(self.command("tag").args([reference, other]));
    }

    /// Pushes an image; gives what docker said.
    pub(crate) fn push(&self, reference: &str) -> String {
        succeed(self.command("push").arg(reference))
    }

    /// Pulls an image; gives how many of its layers came over the wire.
    pub(crate) fn pull(&self, reference: &str) -> usize {
        let output = succeed(self.command("pull").arg(reference));
        output.lines().filter(|line| line.ends_with(": Pull complete")).count()
    }

    /// Removes an image, and checks that it is gone.
    pub(crate) fn remove(&self, reference: &str) {
        succeed(self.command("rmi").arg(reference));
        let inspected = run(self.command("inspect").args(["--type", "image", reference]));
        assert!(!inspected.succeeded(), "still there: {inspected}");
    }

    /// The digest of the image's config.
    pub(crate) fn image_id(&self, reference: &str) -> String {
        succeed(self.command("inspect").args(["--type", "image", "--format", "{{.Id}}", reference]))
    }

    /// Runs the image's busybox over the files: what they hold as a container sees them.
    pub(crate) fn sums(
        &self,
        reference: &str,
        paths: impl Iterator<Item = String>,
    ) -> BTreeMap<String, String> {
        let mut command = self.command("run");
        command
            .args(["--rm", "--network", "none", reference, "/bin/busybox", "sha256sum"])
            .args(paths);
        sums(&succeed(&mut command))
    }
}

fn host(home: &Home) -> String {
    format!("unix://{}", home.path().join("docker.sock").display())
}

fn tools(registry: &Registry) -> Option<(Docker, PathBuf)> {
    Some((Docker::find(registry.target())?, require("busybox")?))
}

/// Pushes an image of ten layers, pulls it, and has it run.
pub(crate) fn push_and_pull(docker: &Docker, busybox: &Path, name: &str) {
    let image = Image::new(busybox);
    let reference = docker.reference(name);
    docker.build(&image, &reference);
    let id = docker.image_id(&reference);

    docker.push(&reference);
    docker.remove(&reference);
    let pulled = docker.pull(&reference);

    // The layer of busybox may be there from another test's image.
    assert!(pulled >= LAYERS - 1, "only {pulled} layers were pulled");
    assert_eq!(docker.image_id(&reference), id);
    let files = image.files();
    assert_eq!(docker.sums(&reference, files.keys().cloned()), files);
}

on_each_face!(docker_pushes_pulls_and_runs_an_image_of_ten_layers);

fn docker_pushes_pulls_and_runs_an_image_of_ten_layers(face: Face) {
    let registry = Registry::start_as(face);
    let Some((docker, busybox)) = tools(&registry) else { return };
    push_and_pull(&docker, &busybox, "team/app:v1");
}

#[test]
fn docker_runs_what_skopeo_pushed() {
    let registry = Registry::start();
    let Some((docker, busybox)) = tools(&registry) else { return };
    let Some(skopeo) = Skopeo::find(registry.target()) else { return };
    let image = Image::new(&busybox);
    let reference = docker.reference("team/app:v1");
    skopeo.push(&image.write_layout(), &reference);

    let pulled = docker.pull(&reference);

    assert!(pulled >= LAYERS - 1, "only {pulled} layers were pulled");
    let files = image.files();
    assert_eq!(docker.sums(&reference, files.keys().cloned()), files);
}

#[test]
fn skopeo_pulls_what_docker_pushed() {
    let registry = Registry::start();
    let Some((docker, busybox)) = tools(&registry) else { return };
    let Some(skopeo) = Skopeo::find(registry.target()) else { return };
    let reference = docker.reference("team/app:v1");
    docker.build(&Image::new(&busybox), &reference);
    docker.push(&reference);

    let pulled = skopeo.pull(&reference);

    assert_eq!(pulled.config(), docker.image_id(&reference));
    let blobs = pulled.contents().blobs;
    // The layers and the config, each under the digest of its bytes.
    assert_eq!(blobs.len(), LAYERS + 1, "{blobs:?}");
    assert!(blobs.iter().all(|(name, digest)| name == digest), "{blobs:?}");
}

#[test]
fn docker_pushes_all_tags_at_once() {
    let registry = Registry::start();
    let Some((docker, busybox)) = tools(&registry) else { return };
    let app = docker.reference("team/app");
    let (first, second) = (Image::new(&busybox), Image::new(&busybox));
    docker.build(&first, &format!("{app}:v1"));
    docker.tag(&format!("{app}:v1"), &format!("{app}:stable"));
    docker.build(&second, &format!("{app}:v2"));
    let tags = ["stable", "v1", "v2"];
    let ids = tags.map(|tag| docker.image_id(&format!("{app}:{tag}")));

    succeed(docker.command("push").args(["--all-tags", &app]));
    for tag in tags {
        docker.remove(&format!("{app}:{tag}"));
    }
    succeed(docker.command("pull").args(["--all-tags", &app]));

    assert_eq!(registry.tags("team/app"), tags);
    assert_eq!(registry.digest("team/app", "stable"), registry.digest("team/app", "v1"));
    assert_eq!(tags.map(|tag| docker.image_id(&format!("{app}:{tag}"))), ids);
}

#[test]
fn docker_mounts_the_layers_of_another_repository() {
    let registry = Registry::start();
    let Some((docker, busybox)) = tools(&registry) else { return };
    let (app, other) = (docker.reference("team/app:v1"), docker.reference("other/place:v9"));
    docker.build(&Image::new(&busybox), &app);
    docker.push(&app);
    docker.tag(&app, &other);

    let output = docker.push(&other);

    let mounted = output.lines().filter(|line| line.ends_with(": Mounted from team/app")).count();
    assert_eq!(mounted, LAYERS, "{output}");
    let requests = registry.push_of("other/place");
    // docker knows from where it has the layers, but sends the config, which is small, each time.
    assert!(requests.iter().filter(|request| request.is_mount()).count() >= LAYERS, "{requests:?}");
    let uploads = requests.iter().filter(|request| request.is_upload()).count();
    assert!(uploads <= 1, "{requests:?}");
    let digest = registry.digest("team/app", "v1");
    assert_eq!(registry.digest("other/place", "v9"), digest);
    assert!(output.contains(&digest), "{output}");
    docker.remove(&app);
    docker.remove(&other);
    assert!(docker.pull(&other) >= LAYERS - 1);
}

#[test]
fn docker_says_that_it_may_not_push_where_it_did_not_sign_in() {
    let registry = Registry::start_as(face::PASSWORDS);
    let Some(docker) = Docker::of_stranger(registry.target()) else { return };
    let Some(busybox) = require("busybox") else { return };
    let reference = docker.reference("team/app:v1");
    docker.build(&Image::new(&busybox), &reference);

    let refused = run(&mut docker.login(&registry.target_of_liars()));
    assert!(!refused.succeeded() && refused.stderr.contains("401 Unauthorized"), "{refused}");
    for subcommand in ["push", "pull"] {
        let refused = run(docker.command(subcommand).arg(&reference));
        assert!(!refused.succeeded(), "{refused}");
        assert!(refused.stderr.contains("no basic auth credentials"), "{refused}");
    }

    assert!(registry.repositories().is_empty());
}

#[test]
fn docker_pulls_as_a_stranger_by_a_token() {
    let registry = Registry::start_as(face::TLS_AND_TOKENS);
    let Some((docker, busybox)) = tools(&registry) else { return };
    let Some(stranger) = Docker::of_stranger(&registry.target_of_strangers()) else { return };
    let (app, other) = (docker.reference("team/app:v1"), docker.reference("other/app:v1"));
    docker.build(&Image::new(&busybox), &app);
    let id = docker.image_id(&app);
    docker.push(&app);
    docker.remove(&app);

    assert!(stranger.pull(&app) >= LAYERS - 1);

    assert_eq!(stranger.image_id(&app), id);
    stranger.tag(&app, &other);
    let refused = run(stranger.command("push").arg(&other));
    // That is how docker says `insufficient_scope`.
    let why = "denied: requested access to the resource is denied";
    assert!(!refused.succeeded() && refused.stderr.contains(why), "{refused}");
    assert_eq!(registry.repositories(), ["team/app"]);
}
