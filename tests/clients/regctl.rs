//! regctl, of regclient.

use std::path::PathBuf;
use std::process::Command;

use crate::clients::face::{Face, on_each_face};
use crate::clients::home::Home;
use crate::clients::image::Image;
use crate::clients::registry::Registry;
use crate::clients::skopeo::Skopeo;
use crate::clients::target::Target;
use crate::common::{require, succeed};

pub(crate) const NOTE: &str = "application/vnd.roadstead.test.note";

pub(crate) struct Regctl {
    program: PathBuf,
    pub(crate) home: Home,
}

impl Regctl {
    pub(crate) fn find(target: &Target) -> Option<Self> {
        let regctl = Self { program: require("regctl")?, home: Home::new() };
        let tls = if target.is_plain() { "disabled" } else { "enabled" };
        let mut set = regctl.command(&["registry", "set", "--skip-check", "--tls", tls]);
        if let Some(authority) = target.authority() {
            set.arg("--cacert").arg(authority);
        }
        succeed(set.arg(target.address()));
        if let Some(user) = target.user() {
            let login = ["registry", "login", "--user", user.name, "--pass", user.password];
            succeed(regctl.command(&login).arg(target.address()));
        }
        Some(regctl)
    }

    /// Runs a command that must succeed; gives what it said.
    pub(crate) fn say(&self, words: &[&str]) -> String {
        succeed(&mut self.command(words))
    }

    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = self.home.command(&self.program);
        command.env("REGCTL_CONFIG", self.home.path().join("regctl.json")).args(words);
        command
    }
}

on_each_face!(regctl_copies_an_image_with_what_refers_to_it);

fn regctl_copies_an_image_with_what_refers_to_it(face: Face) {
    let registry = Registry::start_as(face);
    let Some(regctl) = Regctl::find(registry.target()) else { return };
    let Some(skopeo) = Skopeo::find(registry.target()) else { return };
    let Some(busybox) = require("busybox") else { return };
    let layout = Image::new(&busybox).write_layout();
    let digest = &layout.contents().manifest;
    let (app, other) = (registry.reference("team/app:v1"), registry.reference("other/app:v1"));
    skopeo.push(&layout, &app);
    let note = regctl.home.write("note.txt", "it was tested");

    let file = note.to_string_lossy();
    regctl.say(&["artifact", "put", "--subject", &app, "--artifact-type", NOTE, "--file", &file]);
    regctl.say(&["image", "copy", "--referrers", &app, &other]);

    assert_eq!(&registry.digest("other/app", "v1"), digest);
    let referrers = registry.referrers("team/app", digest);
    assert_eq!(referrers.len(), 1, "{referrers:?}");
    assert_eq!(referrers[0].artifact_type.as_deref(), Some(NOTE));
    assert_eq!(registry.referrers("other/app", digest), referrers);
    assert_eq!(regctl.say(&["artifact", "get", "--subject", &other]), "it was tested");
    // The fallback for registries that know no referrers is a tag.
    assert_eq!(registry.tags("other/app"), ["v1"]);
}

#[test]
fn regctl_removes_a_tag_and_leaves_the_image() {
    let registry = Registry::start();
    let Some(regctl) = Regctl::find(registry.target()) else { return };
    let Some(skopeo) = Skopeo::find(registry.target()) else { return };
    let Some(busybox) = require("busybox") else { return };
    let layout = Image::new(&busybox).write_layout();
    let app = registry.reference("team/app");
    for tag in ["v1", "v2"] {
        skopeo.push(&layout, &format!("{app}:{tag}"));
    }

    assert_eq!(regctl.say(&["tag", "ls", &app]), "v1\nv2");
    regctl.say(&["tag", "rm", &format!("{app}:v1")]);

    assert_eq!(regctl.say(&["tag", "ls", &app]), "v2");
    assert_eq!(registry.digest("team/app", "v2"), layout.contents().manifest);
}
