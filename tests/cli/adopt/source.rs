//! A folder to adopt, and what is said of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::cli::push;
use crate::common::{Finished, Server, roadstead, run, succeed};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A folder of a registry that nobody serves any more; our own is one.
pub(super) struct Source {
    pub(super) server: Server,
    pub(super) root: String,
}

impl Source {
    /// What `push` pushed.
    pub(super) fn of(push: impl FnOnce(&Server)) -> Self {
        let mut server = Server::start_embedded();
        push(&server);
        let root = succeed(&mut server.command(["root"]));
        server.stop();
        Self { server, root }
    }

    pub(super) fn folder(&self) -> PathBuf {
        self.server.data().join("public")
    }

    pub(super) fn path_of(&self, path: &str) -> PathBuf {
        self.folder().join("docker/registry/v2").join(path)
    }

    pub(super) fn blob(&self, bytes: &[u8]) -> PathBuf {
        self.path_of(&blob(bytes))
    }

    pub(super) fn write(&self, path: &str, bytes: &[u8]) {
        let file = self.path_of(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, bytes).unwrap();
    }

    /// Has a repository have a blob that no manifest names, as the stock registry does.
    pub(super) fn link_layer(&self, repository: &str, bytes: &[u8]) {
        let digest = push::sha256(bytes);
        self.write(&blob(bytes), bytes);
        let link = format!("repositories/{repository}/_layers/sha256/{}/link", digest.hex());
        self.write(&link, digest.to_string().as_bytes());
    }

    pub(super) fn link_manifest(&self, repository: &str, bytes: &[u8]) {
        let digest = push::sha256(bytes);
        self.write(&blob(bytes), bytes);
        let link =
            format!("repositories/{repository}/_manifests/revisions/sha256/{}/link", digest.hex());
        self.write(&link, digest.to_string().as_bytes());
    }
}

pub(super) fn blob(bytes: &[u8]) -> String {
    let hex = push::sha256(bytes).hex();
    format!("blobs/sha256/{}/{hex}/data", &hex[..2])
}

pub(super) fn command(folder: &Path, data: &Path) -> Command {
    let mut command = roadstead(["adopt"]);
    command.arg(folder).arg("--data").arg(data);
    command
}

pub(super) fn adopt(source: &Source, data: &Path) -> Finished {
    run(&mut command(&source.folder(), data))
}

pub(super) fn say(data: &Path, words: &[&str]) -> String {
    succeed(roadstead(words).arg("--data").arg(data))
}

pub(super) fn assert_well(data: &Path) {
    let report = say(data, &["check"]);
    assert!(report.ends_with(": all is well"), "{report}");
}

pub(crate) fn index_of(manifest: &str) -> String {
    let digest = push::sha256(manifest.as_bytes());
    json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [
        { "mediaType": MANIFEST, "digest": digest.to_string(), "size": manifest.len() },
    ] })
    .to_string()
}

/// An image that refers to another one.
pub(crate) fn referrer_of(subject: &str, image: &str) -> String {
    let mut referrer: Value = serde_json::from_str(image).unwrap();
    let digest = push::sha256(subject.as_bytes()).to_string();
    referrer["artifactType"] = json!("application/x");
    referrer["subject"] = json!({ "mediaType": MANIFEST, "digest": digest, "size": subject.len() });
    referrer.to_string()
}
