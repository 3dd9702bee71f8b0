//! An image of ten layers, made without a network: busybox, so that it can run, and nine layers of data,
//! random ones and ones that compress, some of them longer than the chunks of the storage.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use tempfile::TempDir;

use crate::clients::layout::{Layout, Parts, sha256};
use crate::common::succeed;

/// How many layers the image has.
pub(crate) const LAYERS: usize = 10;

const PLAIN: &str = "application/vnd.oci.image.layer.v1.tar";
const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

const KIB: usize = 1024;

/// Lengths of the files of the layers of data: around the ends of 1 MiB chunks, and well beyond; none so short that
/// two images would have the same one.
const LENGTHS: [usize; LAYERS - 1] = [
    16,
    100 * KIB,
    1024 * KIB - 1,
    1024 * KIB,
    1024 * KIB + 1,
    5000 * KIB,
    333,
    3 * 1024 * KIB,
    64 * KIB,
];

/// What each layer adds, as a folder per layer.
pub(crate) struct Image {
    folder: TempDir,
}

impl Image {
    /// Makes an image that no other one shares a layer with, but for busybox.
    pub(crate) fn new(busybox: &Path) -> Self {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let image = Self { folder };
        let bin = image.layer(0).join("bin");
        fs::create_dir_all(&bin).expect("a folder can be made");
        fs::copy(busybox, bin.join("busybox")).expect("busybox can be copied");
        for (index, length) in (1..).zip(LENGTHS) {
            let folder = image.layer(index).join("data");
            fs::create_dir_all(&folder).expect("a folder can be made");
            let mut content = random(length);
            if index % 2 == 0 {
                compressible(&mut content);
            }
            fs::write(folder.join(index.to_string()), content).expect("a file can be written");
        }
        image
    }

    /// The same, no layer of which is in any other image.
    pub(crate) fn of_its_own(busybox: &Path) -> Self {
        let image = Self::new(busybox);
        fs::write(image.layer(0).join("own"), random(16)).expect("a file can be written");
        image
    }

    /// Writes an image of one layer, which is one file of so many bytes.
    pub(crate) fn write_one_layer(length: usize) -> Layout {
        let image = Self { folder: TempDir::new().expect("a temporary folder can be made") };
        fs::create_dir(image.layer(0)).expect("a folder can be made");
        fs::write(image.layer(0).join("file"), random(length)).expect("a file can be written");
        Layout::write(&image.parts_of(1, "amd64", &[PLAIN]))
    }

    /// Where the folders of the layers stand: a build context.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The SHA-256 of each file by its path in the image, in hex.
    pub(crate) fn files(&self) -> BTreeMap<String, String> {
        let data = (1..LAYERS).map(|index| (index, format!("data/{index}")));
        std::iter::once((0, "bin/busybox".to_owned()))
            .chain(data)
            .map(|(index, path)| (format!("/{path}"), sha256(&self.layer(index).join(path))))
            .collect()
    }

    /// A Dockerfile that makes a layer out of each folder.
    pub(crate) fn dockerfile(&self) -> PathBuf {
        let mut text = "FROM scratch\n".to_owned();
        for index in 0..LAYERS {
            writeln!(text, "COPY {index} /").expect("a string takes everything");
        }
        let path = self.folder().join("Dockerfile");
        fs::write(&path, text).expect("a file can be written");
        path
    }

    /// Writes the image as an OCI layout, its layers alternately plain and gzip.
    pub(crate) fn write_layout(&self) -> Layout {
        Layout::write(&self.parts("amd64", &[PLAIN, GZIP]))
    }

    /// The same for clients that take each layer for gzip, whatever its media type says.
    pub(crate) fn write_gzip_layout(&self) -> Layout {
        Layout::write(&self.parts("amd64", &[GZIP]))
    }

    /// Writes an index of one image for each architecture. They share the layer of busybox.
    pub(crate) fn write_index(busybox: &Path, architectures: &[&str]) -> Layout {
        let images: Vec<Parts> = architectures
            .iter()
            .map(|architecture| Self::new(busybox).parts(architecture, &[PLAIN, GZIP]))
            .collect();
        Layout::write_index(&images)
    }

    /// What goes into a layout, the layers in each of the media types in turn.
    fn parts(&self, architecture: &str, media_types: &[&'static str]) -> Parts {
        self.parts_of(LAYERS, architecture, media_types)
    }

    fn parts_of(&self, count: usize, architecture: &str, media_types: &[&'static str]) -> Parts {
        let mut layers = Vec::new();
        let mut diff_ids = Vec::new();
        for index in 0..count {
            let mut file = self.tar(index);
            diff_ids.push(format!("sha256:{}", sha256(&file)));
            let media_type = media_types[index % media_types.len()];
            if media_type == GZIP {
                succeed(Command::new("gzip").args(["--no-name", "--force"]).arg(&file));
                file.set_extension("tar.gz");
            }
            layers.push((media_type, fs::read(file).expect("the layer was written")));
        }
        let config = json!({
            "architecture": architecture,
            "os": "linux",
            "config": { "Cmd": ["/bin/busybox", "true"] },
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
        });
        Parts { config, layers }
    }

    fn layer(&self, index: usize) -> PathBuf {
        self.folder().join(index.to_string())
    }

    fn tar(&self, index: usize) -> PathBuf {
        let file = self.folder().join(format!("{index}.tar"));
        let reproducible = ["--sort=name", "--mtime=@0", "--owner=0", "--group=0"];
        succeed(
            Command::new("tar")
                .args(reproducible)
                .args(["--create", "--file"])
                .arg(&file)
                .arg("--directory")
                .arg(self.layer(index))
                .arg("."),
        );
        file
    }
}

/// What `sha256sum` said, by the paths.
pub(crate) fn sums(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().map(|line| line.split_once("  ").expect("a sum and a path"));
    lines.map(|(sum, path)| (path.to_owned(), sum.to_owned())).collect()
}

fn random(length: usize) -> Vec<u8> {
    let mut content = vec![0; length];
    let mut source = File::open("/dev/urandom").expect("Linux has /dev/urandom");
    source.read_exact(&mut content).expect("/dev/urandom has no end");
    content
}

/// Repeats the first bytes over the rest, so that the content stays unique but compresses well.
fn compressible(content: &mut [u8]) {
    const PERIOD: usize = 64;
    for index in PERIOD..content.len() {
        content[index] = content[index - PERIOD];
    }
}
