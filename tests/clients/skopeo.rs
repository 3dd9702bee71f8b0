//! skopeo, in a home of its own.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::clients::face::{self, Face, on_each_face};
use crate::clients::home::Home;
use crate::clients::image::{Image, LAYERS};
use crate::clients::layout::{Copy, Layout, files};
use crate::clients::registry::Registry;
use crate::clients::target::Target;
use crate::common::{require, run, succeed};

/// A skopeo without memory and credentials.
pub(crate) struct Skopeo {
    program: PathBuf,
    home: Home,
    is_verifying: bool,
}

impl Skopeo {
    pub(crate) fn find(target: &Target) -> Option<Self> {
        let skopeo = Self::of_stranger(target)?;
        if target.user().is_some() {
            succeed(&mut skopeo.login(target));
        }
        Some(skopeo)
    }

    /// A skopeo that has not signed in.
    fn of_stranger(target: &Target) -> Option<Self> {
        let program = require("skopeo")?;
        Some(Self { program, home: Home::trusting(target), is_verifying: !target.is_plain() })
    }

    fn login(&self, target: &Target) -> Command {
        let user = target.user().expect("who signs in has a name");
        let mut command = self.command("login");
        command.args(["--username", user.name, "--password", user.password]);
        command.args([&self.verify(""), target.address()]);
        command
    }

    /// Pushes the image of a layout to `reference`, such as `127.0.0.1:5000/team/app:v1`.
    pub(crate) fn push(&self, layout: &Layout, reference: &str) {
        // Without `preserve` skopeo compresses plain layers, and pushes another image than the layout's.
        self.copy(&["--preserve-digests"], &layout.transport(), &docker(reference));
    }

    /// The command that pushes it, which may fail.
    pub(crate) fn push_command(&self, layout: &Layout, reference: &str) -> Command {
        self.copy_command(&["--preserve-digests"], &layout.transport(), &docker(reference))
    }

    /// Pulls what `reference` names.
    pub(crate) fn pull(&self, reference: &str) -> Copy {
        let copy = Copy::empty();
        self.copy(&["--preserve-digests"], &docker(reference), &copy.transport());
        copy
    }

    /// Pushes the images of all platforms.
    pub(crate) fn push_all(&self, layout: &Layout, reference: &str) {
        self.copy(&["--all", "--preserve-digests"], &layout.transport(), &docker(reference));
    }

    /// Pulls the images of all platforms.
    pub(crate) fn pull_all(&self, reference: &str) -> Copy {
        let copy = Copy::empty();
        self.copy(&["--all", "--preserve-digests"], &docker(reference), &copy.transport());
        copy
    }

    /// Deletes the manifest that `reference` names.
    pub(crate) fn delete(&self, reference: &str) {
        succeed(self.command("delete").args([&self.verify(""), &docker(reference)]));
    }

    /// Copies between two places, each named with its transport.
    fn copy(&self, options: &[&str], from: &str, to: &str) {
        succeed(&mut self.copy_command(options, from, to));
    }

    fn copy_command(&self, options: &[&str], from: &str, to: &str) -> Command {
        let mut command = self.command("copy");
        command.args([self.verify("src-"), self.verify("dest-")]).args(options).args([from, to]);
        command
    }

    fn verify(&self, side: &str) -> String {
        format!("--{side}tls-verify={}", self.is_verifying)
    }

    fn command(&self, subcommand: &str) -> Command {
        let mut command = self.home.command(&self.program);
        // What root's skopeo remembers of registries would stand in /var, and make it mount blobs that it
        // should push: so it takes itself for somebody else's, whose memory is at home.
        command.env("_CONTAINERS_ROOTLESS_UID", "1").args(["--insecure-policy", subcommand]);
        command
    }
}

fn docker(reference: &str) -> String {
    format!("docker://{reference}")
}

on_each_face!(skopeo_gets_back_every_byte_that_it_pushed);

fn skopeo_gets_back_every_byte_that_it_pushed(face: Face) {
    let registry = Registry::start_as(face);
    let Some((skopeo, busybox)) = tools(&registry) else { return };
    let pushed = Image::new(&busybox).write_layout();
    let reference = registry.reference("team/app:v1");

    skopeo.push(&pushed, &reference);

    let pushed = pushed.contents();
    assert_eq!(&skopeo.pull(&reference).contents(), pushed);
    let by_digest = registry.reference(&format!("team/app@{}", pushed.manifest));
    assert_eq!(&skopeo.pull(&by_digest).contents(), pushed);
}

#[test]
fn what_skopeo_deleted_cannot_be_pulled() {
    let registry = Registry::start();
    let Some((skopeo, busybox)) = tools(&registry) else { return };
    let image = Image::new(&busybox).write_layout();
    let reference = registry.reference("team/app:v1");
    skopeo.push(&image, &reference);
    let names = [&image.contents().manifest, "v1"];
    let are_there = || names.map(|name| registry.find("team/app", name).is_some());
    assert_eq!(are_there(), [true, true]);

    skopeo.delete(&reference);

    assert_eq!(are_there(), [false, false]);
}

#[test]
fn skopeo_copies_a_folder_to_the_registry_and_the_image_on_to_a_layout() {
    let registry = Registry::start();
    let Some((skopeo, busybox)) = tools(&registry) else { return };
    let image = Image::new(&busybox).write_layout();
    let folder = Copy::empty();
    let preserve = ["--preserve-digests"];
    skopeo.copy(&preserve, &image.transport(), &folder.transport());
    let app = docker(&registry.reference("team/app:v1"));
    let other = docker(&registry.reference("other/app:v1"));

    skopeo.copy(&preserve, &folder.transport(), &app);
    skopeo.copy(&preserve, &app, &other);
    let layout = TempDir::new().expect("a temporary folder can be made");
    skopeo.copy(&preserve, &other, &format!("oci:{}:v1", layout.path().display()));

    let blobs = files(&layout.path().join("blobs/sha256"));
    assert_eq!(blobs, files(&image.path().join("blobs/sha256")));
    // Within a registry only the config is sent again.
    let requests = registry.push_of("other/app");
    assert!(requests.iter().filter(|request| request.is_upload()).count() <= 1, "{requests:?}");
    assert!(requests.iter().filter(|request| request.is_mount()).count() >= LAYERS, "{requests:?}");
}

#[test]
fn skopeo_syncs_all_tags_of_a_repository() {
    let registry = Registry::start();
    let Some((skopeo, busybox)) = tools(&registry) else { return };
    let tags = ["v1", "v2"];
    let images = tags.map(|tag| {
        let image = Image::new(&busybox).write_layout();
        skopeo.push(&image, &registry.reference(&format!("team/app:{tag}")));
        image
    });
    let folder = TempDir::new().expect("a temporary folder can be made");

    let mut command = skopeo.command("sync");
    command.args([skopeo.verify("src-"), "--src=docker".to_owned(), "--dest=dir".to_owned()]);
    succeed(command.arg(registry.reference("team/app")).arg(folder.path()));
    let mut command = skopeo.command("sync");
    command.args([skopeo.verify("dest-"), "--src=dir".to_owned(), "--dest=docker".to_owned()]);
    succeed(command.arg(folder.path()).arg(registry.reference("mirror")));

    assert_eq!(registry.tags("mirror/app"), tags);
    for (tag, image) in tags.iter().zip(&images) {
        assert_eq!(registry.digest("mirror/app", tag), image.contents().manifest);
    }
}

#[test]
fn skopeo_pushes_zstd_and_pulls_what_it_compressed() {
    let registry = Registry::start();
    let Some((skopeo, busybox)) = tools(&registry) else { return };
    let image = Image::new(&busybox);
    let reference = docker(&registry.reference("team/app:zstd"));

    let zstd = ["--dest-compress", "--dest-compress-format", "zstd"];
    skopeo.copy(&zstd, &image.write_layout().transport(), &reference);
    let plain = Copy::empty();
    skopeo.copy(&["--dest-decompress"], &reference, &plain.transport());

    let manifest = registry.manifest("team/app", "zstd");
    let layers = manifest["layers"].as_array().expect("a manifest has layers");
    assert_eq!(layers.len(), LAYERS);
    let zstd = "application/vnd.oci.image.layer.v1.tar+zstd";
    assert!(layers.iter().all(|layer| layer["mediaType"] == zstd), "{manifest}");
    let config = plain.config();
    let file = plain.path().join(config.trim_start_matches("sha256:"));
    let text = fs::read(file).expect("skopeo wrote the config");
    let config: Value = serde_json::from_slice(&text).expect("a config is JSON");
    let blobs = plain.contents().blobs;
    for diff_id in config["rootfs"]["diff_ids"].as_array().expect("a config has layers") {
        let diff_id = diff_id.as_str().expect("a digest").trim_start_matches("sha256:");
        assert!(blobs.values().any(|digest| digest == diff_id), "{diff_id} is not in {blobs:?}");
    }
}

#[test]
fn skopeo_copies_the_images_of_all_platforms() {
    let registry = Registry::start();
    let Some((skopeo, busybox)) = tools(&registry) else { return };
    let layout = Image::write_index(&busybox, &["amd64", "arm64"]);
    let (app, other) = (registry.reference("team/app:v1"), registry.reference("other/app:v1"));
    let all = ["--all", "--preserve-digests"];

    skopeo.copy(&all, &layout.transport(), &docker(&app));
    skopeo.copy(&all, &docker(&app), &docker(&other));

    let (pushed, pulled) = (Copy::empty(), Copy::empty());
    skopeo.copy(&all, &layout.transport(), &pushed.transport());
    skopeo.copy(&all, &docker(&other), &pulled.transport());
    assert_eq!(files(pulled.path()), files(pushed.path()));
    assert_eq!(registry.digest("other/app", "v1"), layout.contents().manifest);
    // One platform of the two.
    let arm = Copy::empty();
    let mut command = skopeo.command("--override-arch=arm64");
    command.args(["copy", &skopeo.verify("src-"), &docker(&other), &arm.transport()]);
    succeed(&mut command);
    assert!(layout.manifests().contains(&arm.contents().manifest));
}

#[test]
fn skopeo_says_that_it_may_not_push_where_it_did_not_sign_in() {
    let registry = Registry::start_as(face::PASSWORDS);
    let Some(skopeo) = Skopeo::of_stranger(registry.target()) else { return };
    let Some(busybox) = require("busybox") else { return };
    let layout = Image::new(&busybox).write_layout();
    let reference = docker(&registry.reference("team/app:v1"));

    let refused = run(&mut skopeo.login(&registry.target_of_liars()));
    assert!(
        !refused.succeeded() && refused.stderr.contains("invalid username/password"),
        "{refused}"
    );
    let mut copy = skopeo.command("copy");
    let refused = run(copy.args([&skopeo.verify("dest-"), &layout.transport(), &reference]));
    assert!(
        !refused.succeeded() && refused.stderr.contains("authentication required"),
        "{refused}"
    );

    assert!(registry.repositories().is_empty());
}

#[test]
fn skopeo_trusts_no_certificate_of_an_unknown_authority() {
    let registry = Registry::start_as(face::TLS);
    let Some(skopeo) = Skopeo::find(registry.target()) else { return };
    let reference = docker(&registry.reference("team/app:v1"));
    let inspect = |skopeo: &Skopeo| {
        run(skopeo.command("inspect").args([&skopeo.verify(""), &reference])).stderr
    };
    assert!(inspect(&skopeo).contains("manifest unknown"), "{}", inspect(&skopeo));

    let without_authority = Skopeo { home: Home::new(), ..skopeo };

    let output = inspect(&without_authority);
    assert!(output.contains("certificate signed by unknown authority"), "{output}");
}

fn tools(registry: &Registry) -> Option<(Skopeo, PathBuf)> {
    Some((Skopeo::find(registry.target())?, require("busybox")?))
}
