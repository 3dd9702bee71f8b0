//! buildah, with a store of the test's own.

use std::path::PathBuf;
use std::process::Command;

use crate::clients::face::{Face, on_each_face};
use crate::clients::home::Home;
use crate::clients::image::{Image, LAYERS};
use crate::clients::registry::Registry;
use crate::clients::target::Target;
use crate::common::{require, require_root, succeed};

struct Buildah {
    program: PathBuf,
    home: Home,
    tls_verify: String,
}

impl Buildah {
    fn find(target: &Target) -> Option<Self> {
        let program = require("buildah")?;
        require_root()?;
        let tls_verify = format!("--tls-verify={}", !target.is_plain());
        let buildah = Self { program, home: Home::trusting(target), tls_verify };
        if let Some(user) = target.user() {
            let mut login = buildah.command("login");
            login.args(["--username", user.name, "--password", user.password]);
            succeed(login.args([&buildah.tls_verify, target.address()]));
        }
        Some(buildah)
    }

    /// Builds an image; gives its id, which is the digest of its config.
    fn build(&self, image: &Image, options: &[&str]) -> String {
        let mut command = self.command("bud");
        // The only isolation that needs no container runtime; nothing is run here anyway.
        command.args(["--isolation=chroot", "--quiet"]).args(options);
        command.arg("--file").arg(image.dockerfile()).arg(image.folder());
        let output = succeed(&mut command);
        format!("sha256:{}", output.lines().last().expect("buildah tells the id"))
    }

    fn command(&self, subcommand: &str) -> Command {
        let mut command = self.home.private_command(&self.program);
        command.arg(subcommand);
        command
    }
}

#[test]
fn buildah_pulls_the_image_that_it_built_and_pushed() {
    let registry = Registry::start();
    let Some(buildah) = Buildah::find(registry.target()) else { return };
    let Some(busybox) = require("busybox") else { return };
    let reference = registry.reference("team/app:v1");
    let id = buildah.build(&Image::new(&busybox), &["--layers", "--tag", &reference]);

    succeed(buildah.command("push").args([&buildah.tls_verify, &reference]));
    succeed(buildah.command("rmi").args(["--all", "--force"]));
    let pulled =
        succeed(buildah.command("pull").args(["--quiet", &buildah.tls_verify, &reference]));

    assert_eq!(format!("sha256:{pulled}"), id);
    assert_eq!(registry.config("team/app", "v1"), id);
    let manifest = registry.manifest("team/app", "v1");
    assert_eq!(manifest["layers"].as_array().map(Vec::len), Some(LAYERS), "{manifest}");
}

on_each_face!(buildah_pushes_a_list_of_two_platforms);

fn buildah_pushes_a_list_of_two_platforms(face: Face) {
    let registry = Registry::start_as(face);
    let Some(buildah) = Buildah::find(registry.target()) else { return };
    let Some(busybox) = require("busybox") else { return };
    let list = registry.reference("team/list:v1");
    succeed(buildah.command("manifest").args(["create", &list]));
    let platforms = ["amd64", "arm64"];
    let ids = platforms.map(|architecture| {
        let platform = format!("--platform=linux/{architecture}");
        buildah.build(&Image::new(&busybox), &[&platform, "--manifest", &list])
    });

    let to = format!("docker://{list}");
    succeed(buildah.command("manifest").args(["push", "--all", &buildah.tls_verify, &list, &to]));

    let index = registry.manifest("team/list", "v1");
    for ((architecture, id), entry) in platforms.iter().zip(&ids).zip(0..) {
        let manifest = &index["manifests"][entry];
        assert_eq!(manifest["platform"]["architecture"], *architecture, "{index}");
        let digest = manifest["digest"].as_str().expect("a descriptor has a digest");
        assert_eq!(&registry.config("team/list", digest), id);
    }
    succeed(buildah.command("rmi").args(["--all", "--force"]));
    let mut pull = buildah.command("pull");
    pull.args(["--quiet", "--arch=arm64", &buildah.tls_verify, &list]);
    assert_eq!(format!("sha256:{}", succeed(&mut pull)), ids[1]);
}
