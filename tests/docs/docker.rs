//! What `docker push` and `docker pull` ask of a registry, without a daemon: that the pages name the right
//! place, user and certificate is seen by it. tests/clients/docker.rs has the real one.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use roadstead::oci::{Algorithm, Digest};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::common::run;

/// What the pages have told docker.
pub(crate) struct Docker {
    /// A name and a password.
    user: Option<(String, String)>,
    /// What stands for `/etc/docker/certs.d`.
    certificates: PathBuf,
}

struct Answer {
    status: String,
    text: String,
}

impl Docker {
    pub(crate) fn new(certificates: PathBuf) -> Self {
        Self { user: None, certificates }
    }

    /// Pushes an image of one layer, which no other reference has.
    pub(crate) fn push(&self, reference: &str) {
        let (host, name, tag) = split(reference);
        let blob = |bytes: &[u8]| {
            let digest = Digest::of(Algorithm::Sha256, bytes).to_string();
            let path = format!("/v2/{name}/blobs/uploads/?digest={digest}");
            let pushed = self.ask("POST", host, &path, bytes);
            assert_eq!(pushed.status, "201", "{reference}: {}", pushed.text);
            json!({ "mediaType": "text/plain", "digest": digest, "size": bytes.len() })
        };
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": blob(b"{}"),
            "layers": [blob(reference.as_bytes())],
        });
        let path = format!("/v2/{name}/manifests/{tag}");
        let pushed = self.ask("PUT", host, &path, manifest.to_string().as_bytes());
        assert_eq!(pushed.status, "201", "{reference}: {}", pushed.text);
    }

    /// Pulls what was pushed.
    pub(crate) fn pull(&self, reference: &str) {
        let (host, name, tag) = split(reference);
        let manifest = self.ask("GET", host, &format!("/v2/{name}/manifests/{tag}"), b"");
        assert_eq!(manifest.status, "200", "{reference}: {}", manifest.text);
        let manifest: Value = serde_json::from_str(&manifest.text).unwrap();
        let digest = manifest["layers"][0]["digest"].as_str().unwrap();
        let layer = self.ask("GET", host, &format!("/v2/{name}/blobs/{digest}"), b"");
        assert_eq!((layer.status.as_str(), layer.text.as_str()), ("200", reference));
    }

    /// Signs in, and sees that nobody may by another password.
    pub(crate) fn login(&mut self, host: &str, name: &str, password: &str) {
        self.user = Some((name.to_owned(), "guess".to_owned()));
        assert_eq!(self.ask("GET", host, "/v2/", b"").status, "401");
        self.user = Some((name.to_owned(), password.to_owned()));
        assert_eq!(self.ask("GET", host, "/v2/", b"").status, "200");
    }

    /// Asks as docker does: without TLS only on loopback, and else of who has a certificate that it trusts.
    fn ask(&self, method: &str, host: &str, path: &str, body: &[u8]) -> Answer {
        let scheme = if host.starts_with("127.0.0.1:") { "http" } else { "https" };
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(body).unwrap();
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--noproxy", "*", "-X", method, "-H", "Content-Type:"]).args([
            "-w",
            "\n%{http_code}",
            &format!("{scheme}://{host}{path}"),
        ]);
        if !body.is_empty() {
            curl.arg("--data-binary").arg(format!("@{}", file.path().display()));
        }
        if let Some((name, password)) = &self.user {
            curl.args(["-u", &format!("{name}:{password}")]);
        }
        if let Some(trusted) = trusted(&self.certificates.join(host)) {
            curl.arg("--cacert").arg(trusted);
        }
        let finished = run(&mut curl);
        assert!(finished.succeeded(), "{finished}");
        let (text, status) = finished.stdout.rsplit_once('\n').unwrap();
        Answer { status: status.to_owned(), text: text.to_owned() }
    }
}

/// The file of a registry's folder that docker takes for an authority.
fn trusted(folder: &Path) -> Option<PathBuf> {
    let files = fs::read_dir(folder).ok()?;
    files
        .map(|file| file.unwrap().path())
        .find(|file| file.extension().is_some_and(|extension| extension == "crt"))
}

fn split(reference: &str) -> (&str, &str, &str) {
    let (host, rest) = reference.split_once('/').unwrap();
    let (name, tag) = rest.rsplit_once(':').unwrap();
    (host, name, tag)
}
