//! podman, with a store of the test's own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::clients::face::{Face, on_each_face};
use crate::clients::home::Home;
use crate::clients::image::{Image, sums};
use crate::clients::layout::sha256;
use crate::clients::registry::Registry;
use crate::clients::release::Release;
use crate::clients::skopeo::Skopeo;
use crate::clients::target::Target;
use crate::common::{require, require_root, succeed};

pub(crate) struct Podman {
    release: Release,
    program: PathBuf,
    home: Home,
    tls_verify: String,
}

impl Podman {
    pub(crate) fn find(release: Release, target: &Target) -> Option<Self> {
        let program = release.require("podman")?;
        require("runc")?;
        require_root()?;
        let tls_verify = format!("--tls-verify={}", !target.is_plain());
        let podman = Self { release, program, home: Home::trusting(target), tls_verify };
        if let Some(user) = target.user() {
            let mut login = podman.command("login");
            login.args(["--username", user.name, "--password", user.password]);
            succeed(login.args([&podman.tls_verify, target.address()]));
        }
        Some(podman)
    }

    fn push(&self, reference: &str) {
        succeed(&mut self.push_command(reference));
    }

    /// The command that pushes an image, which may fail.
    pub(crate) fn push_command(&self, reference: &str) -> Command {
        let mut command = self.command("push");
        command.args([&self.tls_verify, reference]);
        command
    }

    /// Makes an image of a layer; gives its id, which is the digest of its config.
    pub(crate) fn import(&self, layer: &Path, reference: &str) -> String {
        succeed(self.command("import").arg("--quiet").arg(layer).arg(reference))
    }

    /// Pulls an image; gives its id, which is the digest of its config.
    pub(crate) fn pull(&self, reference: &str) -> String {
        let id = succeed(self.command("pull").args(["--quiet", &self.tls_verify, reference]));
        format!("sha256:{id}")
    }

    /// The digest of the manifest of an image that podman has.
    pub(crate) fn digest(&self, reference: &str) -> String {
        succeed(self.command("image").args(["inspect", "--format", "{{.Digest}}", reference]))
    }

    /// The SHA-256 of each file of the image, where podman has it.
    fn files(&self, reference: &str, image: &Image) -> BTreeMap<String, String> {
        let folder = succeed(self.command("image").args(["mount", reference]));
        let paths = image.files().into_keys();
        paths.map(|path| (path.clone(), sha256(Path::new(&format!("{folder}{path}"))))).collect()
    }

    fn command(&self, subcommand: &str) -> Command {
        let mut command = self.home.podman_command(self.release, &self.program);
        command.arg(subcommand);
        command
    }
}

on_each_face!(podman_pulls_runs_and_pushes_an_image_of_ten_layers);

fn podman_pulls_runs_and_pushes_an_image_of_ten_layers(face: Face) {
    pull_and_push(face, Release::Debian, |podman, reference, image| {
        let files = image.files();
        let mut run = podman.command("run");
        run.args(["--rm", "--network", "none", "--runtime", "runc"]);
        run.args([reference, "/bin/busybox", "sha256sum"]).args(files.keys());
        assert_eq!(sums(&succeed(&mut run)), files);
    });
}

on_each_face!(the_newest_podman_pulls_and_pushes_an_image_of_ten_layers);

/// It does not run the image: it would want cgroup v2 of the whole machine, or a newer runtime.
fn the_newest_podman_pulls_and_pushes_an_image_of_ten_layers(face: Face) {
    pull_and_push(face, Release::Newest, |podman, reference, image| {
        assert_eq!(podman.files(reference, image), image.files());
    });
}

/// Pulls an image, pushes it by another name, and pulls that; what podman has is checked after each pull.
fn pull_and_push(face: Face, release: Release, check: impl Fn(&Podman, &str, &Image)) {
    let registry = Registry::start_as(face);
    let Some(podman) = Podman::find(release, registry.target()) else { return };
    let Some(skopeo) = Skopeo::find(registry.target()) else { return };
    let Some(busybox) = require("busybox") else { return };
    let image = Image::new(&busybox);
    let (app, other) = (registry.reference("team/app:v1"), registry.reference("other/app:v2"));
    skopeo.push(&image.write_layout(), &app);
    let id = registry.config("team/app", "v1");

    assert_eq!(podman.pull(&app), id);
    check(&podman, &app, &image);

    succeed(podman.command("tag").args([&app, &other]));
    podman.push(&other);
    succeed(podman.command("rmi").args([&app, &other]));
    assert_eq!(succeed(podman.command("images").arg("--quiet")), "");
    assert_eq!(podman.pull(&other), id);
    assert_eq!(registry.config("other/app", "v2"), id);
    check(&podman, &other, &image);
}
