//! podman, which fetches only those parts of a layer that it has not: the bytes that go over the wire.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::clients::home::Home;
use crate::clients::link::{Link, Manner};
use crate::clients::release::Release;
use crate::clients::stock_registry::StockRegistry;
use crate::common::content::noise;
use crate::common::{Disk, require, require_root, succeed};
use crate::federation::operators::{DOMAIN, Operators};

/// How many files the image has, each of them so long.
const FILES: usize = 400;
const LENGTH: usize = 20_000;

/// How often a pull is tried that took a whole layer.
const ATTEMPTS: usize = 4;

/// podman with a store that takes layers apart, on a disk that overlays can stand on.
struct Podman {
    // Fields are dropped in this order: the home goes before its disk.
    home: Home,
    _disk: Disk,
    release: Release,
    program: PathBuf,
}

impl Podman {
    fn find(release: Release) -> Option<Self> {
        let program = release.require("podman")?;
        require_root()?;
        let disk = Disk::mount("256m")?;
        let home = Home::new();
        let folder = disk.path().display();
        home.write(
            "storage.conf",
            format!(
                "[storage]\ndriver = 'overlay'\ngraphroot = '{folder}/storage'\nrunroot = '{folder}/run'\n\
                 [storage.options]\npull_options = {{enable_partial_images = 'true'}}\n"
            ),
        );
        Some(Self { home, _disk: disk, release, program })
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.home.podman_command(self.release, &self.program);
        command.args(words);
        command
    }

    /// Makes an image of a folder, and pushes it to each of the registries.
    fn push(&self, folder: &Path, name: &str, registries: &[&str]) {
        let archive = self.home.path().join("image.tar");
        let mut tar = Command::new("tar");
        tar.args(["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--create", "--file"]);
        succeed(tar.arg(&archive).arg("--directory").arg(folder).arg("."));
        let archive = archive.to_string_lossy();
        succeed(&mut self.command(&["import", "--quiet", &archive, name]));
        for registry in registries {
            succeed(&mut self.command(&[
                "push",
                "--quiet",
                "--tls-verify=false",
                "--compression-format=zstd:chunked",
                name,
                &format!("docker://{registry}/{name}"),
            ]));
        }
    }

    fn pull(&self, registry: &str, name: &str) {
        let reference = format!("{registry}/{name}");
        succeed(&mut self.command(&["pull", "--quiet", "--tls-verify=false", &reference]));
    }
}

/// A3: three files of 400 changed, and the whole layer came.
#[test]
fn podman_fetches_no_more_of_a_layer_than_from_the_stock_registry() {
    a_layer_comes_in_part(Release::Debian);
}

#[test]
fn the_newest_podman_fetches_no_more_of_a_layer_than_from_the_stock_registry() {
    a_layer_comes_in_part(Release::Newest);
}

fn a_layer_comes_in_part(release: Release) {
    let Some(program) = require("registry") else { return };
    let Some(pushing) = Podman::find(release) else { return };
    let Some(operators) = Operators::start() else { return };
    let folder = TempDir::new().expect("a temporary folder can be made");
    let stock = StockRegistry::start(&program, &folder.path().join("stock"), false);
    let files = folder.path().join("files");
    fs::create_dir(&files).expect("a folder can be made");
    let write = |index: usize, seed: usize| {
        let content = noise(LENGTH, seed as u64);
        fs::write(files.join(index.to_string()), content).expect("a file can be written");
    };
    let own = operators.publisher.address();
    for index in 0..FILES {
        write(index, index);
    }
    pushing.push(&files, "team/app:1", &[own, stock.address()]);
    for index in [3, 200, 390] {
        write(index, FILES + index);
    }
    pushing.push(&files, "team/app:2", &[own, stock.address()]);
    let upstream = Link::start(own, Manner::default());
    operators.publish_as(&format!("dnslink=/ipfs/{}", operators.root()), &upstream.hint());

    let is_in_part = |bytes: usize| bytes < FILES * LENGTH / 10;
    let pull = |registry: &str, name: &str| {
        let podman = Podman::find(release).expect("it was found");
        let link = Link::start(registry, Manner::default());
        podman.pull(&link.address(), &format!("{name}:1"));
        assert!(link.take() > FILES * LENGTH, "the whole comes first");
        upstream.take();
        podman.pull(&link.address(), &format!("{name}:2"));
        let (bytes, came) = (link.take(), upstream.take());
        if is_in_part(bytes) {
            let whole = FILES * LENGTH * 3 / 4;
            assert!(came < whole, "{came} bytes from the publisher: the whole layer");
        }
        bytes
    };
    // Under load Debian's podman now and then takes a whole layer, also from the stock registry: then once more, with a
    // podman that has nothing.
    let least = |registry: &str, name: &str| {
        let mut pulls = (0..ATTEMPTS).map(|_| pull(registry, name));
        pulls.find(|bytes| is_in_part(*bytes)).unwrap_or(FILES * LENGTH)
    };
    let ours = least(own, "team/app");
    let foreign = least(operators.other.address(), &format!("{DOMAIN}/team/app"));
    let stocks = least(stock.address(), "team/app");

    assert!(is_in_part(stocks), "podman fetched {stocks} bytes: the whole layer");
    for (whose, bytes) in [("ours", ours), ("foreign", foreign)] {
        assert!(
            bytes * 100 <= stocks * 105,
            "{whose}: {bytes} bytes, of the stock registry {stocks}"
        );
    }
}
