//! docker with a dockerd of the tests' own, which leaves the machine's alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tempfile::TempDir;

use crate::common::{Process, Server, require, require_root, run, succeed};
use crate::image::{Image, LAYERS};
use crate::skopeo::Skopeo;

/// dockerd was ready after 6 seconds on 2 idle cores.
const READY: Duration = Duration::from_mins(2);

/// A docker client whose daemon lives as long as somebody holds this.
struct Docker {
    // Fields are dropped in this order: the daemon goes before its folder.
    daemon: Process,
    folder: TempDir,
    client: PathBuf,
}

impl Docker {
    /// The daemon that all tests share while one of them runs: the last one out ends it.
    fn shared() -> Option<Arc<Self>> {
        static SHARED: Mutex<Weak<Docker>> = Mutex::new(Weak::new());

        let (client, daemon) = (require("docker")?, require("dockerd")?);
        require_root()?;
        // A test that failed while it started the daemon left nothing behind: the next one starts anew.
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(docker) = shared.upgrade() {
            return Some(docker);
        }
        let docker = Arc::new(Self::start(client, &daemon));
        *shared = Arc::downgrade(&docker);
        Some(docker)
    }

    fn start(client: PathBuf, daemon: &Path) -> Self {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let mut command = Command::new(daemon);
        command
            .arg("--data-root")
            .arg(folder.path().join("data"))
            .arg("--exec-root")
            .arg(folder.path().join("exec"))
            .arg("--pidfile")
            .arg(folder.path().join("pid"))
            .arg("--host")
            .arg(host(folder.path()))
            // The containers here have no network, so nobody's firewall or bridges need be touched.
            .args(["--bridge=none", "--iptables=false", "--ip6tables=false"]);
        let daemon = Process::start(&mut command, &folder.path().join("dockerd.log"));
        let mut docker = Self { daemon, folder, client };
        let mut version = docker.command("version");
        docker.daemon.wait_until(READY, || run(&mut version).succeeded());
        docker
    }

    fn command(&self, subcommand: &str) -> Command {
        let mut command = Command::new(&self.client);
        command
            .arg(subcommand)
            .env_remove("DOCKER_CONTEXT")
            .env("DOCKER_HOST", host(self.folder.path()))
            .env("DOCKER_CONFIG", self.folder.path().join("client"))
            // The classic builder needs no plug-in and makes one layer of each COPY.
            .env("DOCKER_BUILDKIT", "0");
        command
    }

    fn build(&self, image: &Image, reference: &str) {
        let mut command = self.command("build");
        command.args(["--tag", reference, "--file"]).arg(image.dockerfile()).arg(image.folder());
        succeed(&mut command);
    }

    fn push(&self, reference: &str) {
        succeed(self.command("push").arg(reference));
    }

    /// Pulls an image; gives how many of its layers came over the wire.
    fn pull(&self, reference: &str) -> usize {
        let said = succeed(self.command("pull").arg(reference));
        said.lines().filter(|line| line.ends_with(": Pull complete")).count()
    }

    /// Removes an image, and checks that it is gone.
    fn remove(&self, reference: &str) {
        succeed(self.command("rmi").arg(reference));
        let inspected = run(self.command("inspect").args(["--type", "image", reference]));
        assert!(!inspected.succeeded(), "still there: {inspected}");
    }

    /// The digest of the image's config.
    fn image_id(&self, reference: &str) -> String {
        succeed(self.command("inspect").args(["--type", "image", "--format", "{{.Id}}", reference]))
    }

    /// Runs the image's busybox over the files: what they hold as a container sees them.
    fn sums(
        &self,
        reference: &str,
        paths: impl Iterator<Item = String>,
    ) -> BTreeMap<String, String> {
        let mut command = self.command("run");
        command
            .args(["--rm", "--network", "none", reference, "/bin/busybox", "sha256sum"])
            .args(paths);
        let said = succeed(&mut command);
        let lines = said.lines().map(|line| line.split_once("  ").expect("a sum and a path"));
        lines.map(|(sum, path)| (path.to_owned(), sum.to_owned())).collect()
    }
}

fn host(folder: &Path) -> String {
    format!("unix://{}", folder.join("docker.sock").display())
}

#[test]
fn docker_pushes_pulls_and_runs_an_image_of_ten_layers() {
    let (Some(docker), Some(busybox)) = (Docker::shared(), require("busybox")) else { return };
    let server = Server::start();
    let image = Image::new(&busybox);
    let reference = format!("{}/team/app:v1", server.address());
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

#[test]
fn docker_runs_what_skopeo_pushed() {
    let (Some(docker), Some(skopeo)) = (Docker::shared(), Skopeo::find()) else { return };
    let Some(busybox) = require("busybox") else { return };
    let server = Server::start();
    let image = Image::new(&busybox);
    let reference = format!("{}/team/app:v1", server.address());
    skopeo.push(&image.write_layout(), &reference);

    let pulled = docker.pull(&reference);

    assert!(pulled >= LAYERS - 1, "only {pulled} layers were pulled");
    let files = image.files();
    assert_eq!(docker.sums(&reference, files.keys().cloned()), files);
}

#[test]
fn skopeo_pulls_what_docker_pushed() {
    let (Some(docker), Some(skopeo)) = (Docker::shared(), Skopeo::find()) else { return };
    let Some(busybox) = require("busybox") else { return };
    let server = Server::start();
    let reference = format!("{}/team/app:v1", server.address());
    docker.build(&Image::new(&busybox), &reference);
    docker.push(&reference);

    let pulled = skopeo.pull(&reference);

    assert_eq!(pulled.config(), docker.image_id(&reference));
    let blobs = pulled.contents().blobs;
    // The layers and the config, each under the digest of its bytes.
    assert_eq!(blobs.len(), LAYERS + 1, "{blobs:?}");
    assert!(blobs.iter().all(|(name, digest)| name == digest), "{blobs:?}");
}
