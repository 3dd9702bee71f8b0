//! podman, with a store of the test's own.

use std::path::PathBuf;
use std::process::Command;

use crate::clients::face::{Face, on_each_face};
use crate::clients::home::Home;
use crate::clients::image::{Image, sums};
use crate::clients::registry::Registry;
use crate::clients::skopeo::Skopeo;
use crate::clients::target::Target;
use crate::common::{require, require_root, succeed};

pub(crate) struct Podman {
    program: PathBuf,
    home: Home,
    tls_verify: String,
}

impl Podman {
    pub(crate) fn find(target: &Target) -> Option<Self> {
        let program = require("podman")?;
        require("runc")?;
        require_root()?;
        let tls_verify = format!("--tls-verify={}", !target.is_plain());
        let podman = Self { program, home: Home::trusting(target), tls_verify };
        if let Some(user) = target.user() {
            let mut login = podman.command("login");
            login.args(["--username", user.name, "--password", user.password]);
            succeed(login.args([&podman.tls_verify, target.address()]));
        }
        Some(podman)
    }

    fn push(&self, reference: &str) {
        succeed(self.command("push").args([&self.tls_verify, reference]));
    }

    /// Pulls an image; gives its id, which is the digest of its config.
    pub(crate) fn pull(&self, reference: &str) -> String {
        let id = succeed(self.command("pull").args(["--quiet", &self.tls_verify, reference]));
        format!("sha256:{id}")
    }

    fn command(&self, subcommand: &str) -> Command {
        let mut command = self.home.private_command(&self.program);
        command.arg(subcommand);
        command
    }
}

on_each_face!(podman_pulls_runs_and_pushes_an_image_of_ten_layers);

fn podman_pulls_runs_and_pushes_an_image_of_ten_layers(face: Face) {
    let registry = Registry::start_as(face);
    let Some(podman) = Podman::find(registry.target()) else { return };
    let Some(skopeo) = Skopeo::find(registry.target()) else { return };
    let Some(busybox) = require("busybox") else { return };
    let image = Image::new(&busybox);
    let (app, other) = (registry.reference("team/app:v1"), registry.reference("other/app:v2"));
    skopeo.push(&image.write_layout(), &app);
    let id = registry.config("team/app", "v1");

    assert_eq!(podman.pull(&app), id);
    let files = image.files();
    let mut run = podman.command("run");
    run.args(["--rm", "--network", "none", "--runtime", "runc"]);
    run.args([&app, "/bin/busybox", "sha256sum"]).args(files.keys());
    assert_eq!(sums(&succeed(&mut run)), files);

    succeed(podman.command("tag").args([&app, &other]));
    podman.push(&other);
    succeed(podman.command("rmi").args([&app, &other]));
    assert_eq!(succeed(podman.command("images").arg("--quiet")), "");
    assert_eq!(podman.pull(&other), id);
    assert_eq!(registry.config("other/app", "v2"), id);
}
