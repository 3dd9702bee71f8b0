//! skopeo, in a home of its own.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::common::{Server, http, require, succeed};
use crate::image::Image;
use crate::layout::{Copy, Layout};

/// What skopeo remembers of registries when root runs it: a blob that it knows from another repository
/// would be mounted and not pushed.
const BLOB_CACHE: &str = "/var/lib/containers/cache/blob-info-cache-v1.boltdb";

/// A skopeo without memory and credentials.
pub(crate) struct Skopeo {
    program: PathBuf,
    home: TempDir,
}

impl Skopeo {
    pub(crate) fn find() -> Option<Self> {
        let program = require("skopeo")?;
        let home = TempDir::new().expect("a temporary folder can be made");
        fs::write(home.path().join("auth.json"), "{}").expect("a file can be written");
        Some(Self { program, home })
    }

    /// Pushes the image of a layout to `reference`, such as `127.0.0.1:5000/team/app:v1`.
    pub(crate) fn push(&self, layout: &Layout, reference: &str) {
        // Absent is as good as removed.
        let _ = fs::remove_file(BLOB_CACHE);
        let folder = format!("oci:{}", layout.path().display());
        let mut command = self.command("copy");
        // Without it skopeo compresses plain layers, and pushes another image than the layout's.
        command.args([
            "--dest-tls-verify=false",
            "--preserve-digests",
            &folder,
            &docker(reference),
        ]);
        succeed(&mut command);
    }

    /// Pulls what `reference` names.
    pub(crate) fn pull(&self, reference: &str) -> Copy {
        let copy = Copy::empty();
        let folder = format!("dir:{}", copy.path().display());
        let mut command = self.command("copy");
        command.args(["--src-tls-verify=false", "--preserve-digests", &docker(reference), &folder]);
        succeed(&mut command);
        copy
    }

    /// Deletes the manifest that `reference` names.
    pub(crate) fn delete(&self, reference: &str) {
        succeed(self.command("delete").args(["--tls-verify=false", &docker(reference)]));
    }

    fn command(&self, subcommand: &str) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(["--insecure-policy", subcommand])
            .env("REGISTRY_AUTH_FILE", self.home.path().join("auth.json"))
            .env("XDG_DATA_HOME", self.home.path());
        command
    }
}

fn docker(reference: &str) -> String {
    format!("docker://{reference}")
}

#[test]
fn skopeo_gets_back_every_byte_that_it_pushed() {
    let (Some(skopeo), Some(busybox)) = (Skopeo::find(), require("busybox")) else { return };
    let server = Server::start();
    let pushed = Image::new(&busybox).write_layout();
    let reference = format!("{}/team/app:v1", server.address());

    skopeo.push(&pushed, &reference);

    let pushed = pushed.contents();
    assert_eq!(&skopeo.pull(&reference).contents(), pushed);
    let by_digest = format!("{}/team/app@{}", server.address(), pushed.manifest);
    assert_eq!(&skopeo.pull(&by_digest).contents(), pushed);
}

#[test]
fn what_skopeo_deleted_cannot_be_pulled() {
    let (Some(skopeo), Some(busybox)) = (Skopeo::find(), require("busybox")) else { return };
    let server = Server::start();
    let image = Image::new(&busybox).write_layout();
    let reference = format!("{}/team/app:v1", server.address());
    skopeo.push(&image, &reference);
    let manifests = [&image.contents().manifest, "v1"]
        .map(|name| server.url(&format!("/v2/team/app/manifests/{name}")));
    for url in &manifests {
        assert_eq!(status(url), 200, "{url}");
    }

    skopeo.delete(&reference);

    for url in &manifests {
        assert_eq!(status(url), 404, "{url}");
    }
}

fn status(manifest: &str) -> u16 {
    let accepted = "application/vnd.oci.image.manifest.v1+json";
    http::send(|client| client.get(manifest).header("Accept", accepted)).status
}
