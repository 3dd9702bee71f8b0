//! crane, of go-containerregistry.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::clients::face::{Face, on_each_face};
use crate::clients::home::Home;
use crate::clients::image::Image;
use crate::clients::layout::files;
use crate::clients::registry::{Registry, Request};
use crate::clients::target::Target;
use crate::common::{require, run, succeed};

pub(crate) struct Crane {
    program: PathBuf,
    home: Home,
    is_plain: bool,
    authority: Option<PathBuf>,
}

impl Crane {
    pub(crate) fn find(target: &Target) -> Option<Self> {
        let program = require("crane")?;
        let home = Home::new();
        let authority = home.authority(target);
        let crane = Self { program, home, is_plain: target.is_plain(), authority };
        if let Some(user) = target.user() {
            let name = ["auth", "login", "--username", user.name, "--password", user.password];
            succeed(crane.command(&name).arg(target.address()));
        }
        Some(crane)
    }

    /// Runs a command that must succeed; gives what it said.
    pub(crate) fn say(&self, words: &[&str]) -> String {
        succeed(&mut self.command(words))
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.home.command(&self.program);
        command.args(self.is_plain.then_some("--insecure")).args(words);
        // Go's way to be told of an authority: crane has no option for that.
        command.envs(self.authority.iter().map(|file| ("SSL_CERT_FILE", file)));
        command
    }
}

on_each_face!(crane_pushes_validates_copies_and_pulls);

fn crane_pushes_validates_copies_and_pulls(face: Face) {
    let registry = Registry::start_as(face);
    let (Some(crane), Some(busybox)) = (Crane::find(registry.target()), require("busybox")) else {
        return;
    };
    let layout = Image::new(&busybox).write_gzip_layout();
    let digest = &layout.contents().manifest;
    let (app, other) = (registry.reference("team/app:v1"), registry.reference("other/app:v1"));
    let folder = TempDir::new().expect("a temporary folder can be made");

    crane.say(&["push", &layout.path().to_string_lossy(), &app]);
    crane.say(&["validate", "--remote", &app]);
    crane.say(&["copy", &app, &other]);
    crane.say(&["validate", "--remote", &other]);
    crane.say(&["pull", "--format=oci", &other, &folder.path().to_string_lossy()]);

    assert_eq!(&crane.say(&["digest", &app]), digest);
    assert_eq!(&crane.say(&["digest", &other]), digest);
    let blobs = files(&layout.path().join("blobs/sha256"));
    assert_eq!(files(&folder.path().join("blobs/sha256")), blobs);
    let requests = registry.push_of("other/app");
    assert!(!requests.iter().any(Request::is_upload), "{requests:?}");
    assert_eq!(crane.say(&["catalog", registry.target().address()]), "other/app\nteam/app");
}

#[test]
fn crane_appends_layers_and_images() {
    let registry = Registry::start();
    let (Some(crane), Some(busybox)) = (Crane::find(registry.target()), require("busybox")) else {
        return;
    };
    let layout = Image::new(&busybox).write_gzip_layout();
    let [one, two, both] =
        ["one", "two", "both"].map(|tag| registry.reference(&format!("team/app:{tag}")));
    crane.say(&["push", &layout.path().to_string_lossy(), &one]);
    let note = crane.home.write("note", "of a layer more");
    let layer = crane.home.path().join("layer.tar");
    let mut tar = Command::new("tar");
    tar.arg("--create").arg("--file").arg(&layer).arg("--directory").arg(crane.home.path());
    succeed(tar.arg(note.file_name().expect("a file has a name")));

    crane.say(&["append", "--base", &one, "--new_tag", &two, "-f", &layer.to_string_lossy()]);
    crane.say(&["index", "append", "-m", &one, "-m", &two, "-t", &both]);

    crane.say(&["validate", "--remote", &both]);
    let index = registry.manifest("team/app", "both");
    for (entry, tag) in ["one", "two"].into_iter().enumerate() {
        assert_eq!(
            index["manifests"][entry]["digest"],
            registry.digest("team/app", tag),
            "{index}"
        );
    }
    let export = succeed(crane.command(&["export", &two, "-"]).env("TZ", "UTC"));
    assert!(export.contains("of a layer more"));
}

#[test]
fn crane_lists_sets_and_deletes_tags() {
    let registry = Registry::start();
    let (Some(crane), Some(busybox)) = (Crane::find(registry.target()), require("busybox")) else {
        return;
    };
    let layout = Image::new(&busybox).write_gzip_layout();
    let app = registry.reference("team/app");
    crane.say(&["push", &layout.path().to_string_lossy(), &format!("{app}:v1")]);

    crane.say(&["tag", &format!("{app}:v1"), "v2"]);
    assert_eq!(crane.say(&["ls", &app]), "v1\nv2");
    crane.say(&["delete", &format!("{app}:v1")]);
    assert_eq!(crane.say(&["ls", &app]), "v2");
    crane.say(&["validate", "--remote", &format!("{app}:v2")]);

    crane.say(&["delete", &format!("{app}@{}", layout.contents().manifest)]);
    assert!(registry.find("team/app", "v2").is_none());
    assert!(!run(&mut crane.command(&["digest", &format!("{app}:v2")])).succeeded());
}
