//! cosign, whose signatures refer to what they sign.

use std::path::PathBuf;
use std::process::Command;

use crate::clients::face::{Face, on_each_face};
use crate::clients::home::Home;
use crate::clients::image::Image;
use crate::clients::registry::Registry;
use crate::clients::skopeo::Skopeo;
use crate::clients::target::Target;
use crate::common::{require, run, succeed};

pub(crate) struct Cosign {
    program: PathBuf,
    home: Home,
    /// What commands are told that speak to the registry.
    remote: Vec<String>,
}

impl Cosign {
    /// A cosign with a pair of keys.
    pub(crate) fn find(target: &Target) -> Option<Self> {
        let program = require("cosign")?;
        let home = Home::new();
        let mut remote = Vec::new();
        if target.is_plain() {
            remote.push("--allow-http-registry".to_owned());
        }
        if let Some(file) = home.authority(target) {
            remote.push(format!("--registry-cacert={}", file.display()));
        }
        let cosign = Self { program, home, remote };
        succeed(&mut cosign.command(&["generate-key-pair"]));
        if let Some(user) = target.user() {
            let words = ["login", "--username", user.name, "--password", user.password];
            succeed(cosign.command(&words).arg(target.address()));
        }
        Some(cosign)
    }

    pub(crate) fn sign(&self, reference: &str) {
        succeed(&mut self.sign_command(reference));
    }

    pub(crate) fn sign_command(&self, reference: &str) -> Command {
        // Nothing is told to the public log, nor asked of it.
        let local = ["--use-signing-config=false", "--tlog-upload=false", "--yes"];
        let mut command = self.command(&["sign", "--key=cosign.key"]);
        command.args(local).args(&self.remote).arg(reference);
        command
    }

    pub(crate) fn verify(&self, reference: &str) -> Command {
        let mut command = self.command(&["verify", "--key=cosign.pub", "--insecure-ignore-tlog"]);
        command.args(&self.remote).arg(reference);
        command
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.home.command(&self.program);
        command.env("COSIGN_PASSWORD", "").args(words);
        command
    }
}

on_each_face!(cosign_verifies_what_it_signed_and_nothing_else);

fn cosign_verifies_what_it_signed_and_nothing_else(face: Face) {
    let registry = Registry::start_as(face);
    let Some(cosign) = Cosign::find(registry.target()) else { return };
    let Some(skopeo) = Skopeo::find(registry.target()) else { return };
    let Some(busybox) = require("busybox") else { return };
    let (signed, unsigned) = (registry.reference("team/app:v1"), registry.reference("team/app:v2"));
    let layout = Image::new(&busybox).write_layout();
    let digest = &layout.contents().manifest;
    skopeo.push(&layout, &signed);
    skopeo.push(&Image::new(&busybox).write_layout(), &unsigned);

    cosign.sign(&registry.reference(&format!("team/app@{digest}")));

    let output = succeed(&mut cosign.verify(&signed));
    assert!(output.contains(digest.as_str()), "{output}");
    let refused = run(&mut cosign.verify(&unsigned));
    assert!(!refused.succeeded(), "{refused}");
    let referrers = registry.referrers("team/app", digest);
    assert_eq!(referrers.len(), 1, "{referrers:?}");
    // No tag stands in for them.
    assert_eq!(registry.tags("team/app"), ["v1", "v2"]);
}
