//! The stock registry (distribution 3.1.1) on the folder of ours, and ours on its: the layout on disk
//! is the same.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use roadstead::client::{FetchedManifest, Repository};
use roadstead::oci::{Descriptor, Manifest};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::clients::crane::Crane;
use crate::clients::docker::Docker;
use crate::clients::image::Image;
use crate::clients::layout::files;
use crate::clients::regctl::{NOTE, Regctl};
use crate::clients::skopeo::Skopeo;
use crate::clients::target::Target;
use crate::common::client::{self, block_on};
use crate::common::{Process, Server, free_address, http, require, roadstead, run, succeed};

const READY: Duration = Duration::from_secs(30);

/// The stock registry, serving a folder.
pub(crate) struct StockRegistry {
    // Fields are dropped in this order: the process goes before its folder.
    _process: Process,
    _folder: TempDir,
    address: String,
}

impl StockRegistry {
    pub(crate) fn start(program: &Path, root: &Path, is_read_only: bool) -> Self {
        Self::start_with(program, root, is_read_only, None)
    }

    /// The same with a section `auth` of its settings.
    pub(crate) fn start_with(
        program: &Path,
        root: &Path,
        is_read_only: bool,
        auth: Option<Value>,
    ) -> Self {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let address = free_address();
        let config = folder.path().join("config.yml");
        // JSON is YAML.
        let mut settings = json!({
            "version": 0.1,
            "http": { "addr": address },
            "storage": {
                "filesystem": { "rootdirectory": root },
                "delete": { "enabled": true },
                "maintenance": {
                    "readonly": { "enabled": is_read_only },
                    "uploadpurging": { "enabled": false },
                },
            },
        });
        if let Some(auth) = auth {
            settings["auth"] = auth;
        }
        fs::write(&config, settings.to_string()).expect("a file can be written");
        let mut command = Command::new(program);
        command.arg("serve").arg(&config).env("OTEL_TRACES_EXPORTER", "none");
        let mut process = Process::start(&mut command, &folder.path().join("log"));
        let url = format!("http://{address}/v2/");
        process.wait_until(READY, || {
            http::try_send(|client| client.get(&url))
                .is_ok_and(|response| matches!(response.status, 200 | 401))
        });
        Self { _process: process, _folder: folder, address }
    }

    /// The host and port where it is.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}/v2/{path}", self.address)
    }

    fn repository(&self, name: &str) -> Repository {
        client::repository(&client::client(&format!("http://{}", self.address), None), name)
    }

    fn manifest(&self, repository: &str, reference: &str) -> FetchedManifest {
        let reference = reference.parse().expect("it is a reference");
        block_on(self.repository(repository).manifest(&reference)).expect("it was pushed")
    }

    fn tags(&self, repository: &str) -> Vec<String> {
        let tags = block_on(self.repository(repository).tags().all()).expect("it was pushed");
        tags.iter().map(ToString::to_string).collect()
    }

    /// Pushes an image to a server of ours with all that it consists of, byte for byte.
    fn push_on(&self, server: &Server, repository: &str, reference: &str) {
        let fetched = self.manifest(repository, reference);
        let manifest =
            Manifest::parse(&fetched.bytes, Some(&fetched.media_type)).expect("it is one");
        for child in manifest.children {
            self.push_on(server, repository, &child.digest.to_string());
        }
        let target = client::repository(&client::client(&server.url(""), None), repository);
        for Descriptor { digest, size, .. } in manifest.blobs {
            let most = usize::try_from(size).expect("it is small");
            let copy = async {
                let blob = self.repository(repository).blob(&digest).await?.read_to_end(most);
                target.push_blob(&digest, &blob.await?.into()).await
            };
            block_on(copy).expect("it can be copied");
        }
        let reference = reference.parse().expect("it is a reference");
        let push = target.push_manifest(&reference, &fetched.media_type, fetched.bytes);
        block_on(push).expect("it can be copied");
    }
}

#[test]
fn the_stock_registry_serves_the_public_folder() {
    let (Some(program), Some(busybox)) = (require("registry"), require("busybox")) else { return };
    let server = Server::start();
    let Some(skopeo) = Skopeo::find(&Target::of(&server)) else { return };
    let image = Image::new(&busybox);
    let layout = image.write_layout();
    skopeo.push(&layout, &format!("{}/team/app:v1", server.address()));
    skopeo.push(&layout, &format!("{}/team/nested/app:latest", server.address()));

    let stock = StockRegistry::start(&program, &server.public(), true);

    for name in ["team/app:v1", "team/nested/app:latest"] {
        let reference = format!("{}/{name}", stock.address);
        assert_eq!(&skopeo.pull(&reference).contents(), layout.contents());
    }
    let catalog = http::get(&format!("http://{}/v2/_catalog", stock.address)).json();
    assert_eq!(catalog, json!({ "repositories": ["team/app", "team/nested/app"] }));
    let tags = http::get(&format!("http://{}/v2/team/app/tags/list", stock.address)).json();
    assert_eq!(tags, json!({ "name": "team/app", "tags": ["v1"] }));
    let Some(docker) = Docker::find(&Target::open(&stock.address)) else { return };
    let reference = docker.reference("team/app:v1");
    docker.pull(&reference);
    assert_eq!(docker.sums(&reference, image.files().into_keys()), image.files());
}

#[test]
fn the_folder_of_the_stock_registry_is_adopted() {
    let (Some(program), Some(busybox)) = (require("registry"), require("busybox")) else { return };
    let folder = TempDir::new().expect("a temporary folder can be made");
    let stock = StockRegistry::start(&program, folder.path(), false);
    let target = Target::open(&stock.address);
    let (Some(skopeo), Some(crane)) = (Skopeo::find(&target), Crane::find(&target)) else { return };
    let Some(regctl) = Regctl::find(&target) else { return };
    let image = Image::new(&busybox).write_layout();
    let app = target.reference("team/app:v1");
    // What the tag pointed to before stays in its history.
    skopeo.push(&Image::new(&busybox).write_layout(), &app);
    skopeo.push(&image, &app);
    let platforms = Image::write_index(&busybox, &["amd64", "arm64"]);
    let all = target.reference("team/platforms:all");
    skopeo.push_all(&platforms, &all);
    let before_adoption = files(skopeo.pull_all(&all).path());
    let gzip = Image::new(&busybox).write_gzip_layout();
    let cranes = target.reference("cranes:v1");
    crane.say(&["push", &gzip.path().to_string_lossy(), &cranes]);
    let note = regctl.home.write("note.txt", "it was tested");
    let file = note.to_string_lossy();
    regctl.say(&["artifact", "put", "--subject", &app, "--artifact-type", NOTE, "--file", &file]);
    // Not finished, and gone again.
    let upload = http::send(|client| client.post(stock.url("team/app/blobs/uploads/")));
    assert_eq!(upload.status, 202);
    skopeo.push(&image, &target.reference("team/gone:v1"));
    let gone = stock.url(&format!("team/gone/manifests/{}", image.contents().manifest));
    assert_eq!(http::send(|client| client.delete(&gone)).status, 202);

    let subject = image.contents().manifest.clone();
    let fallback = subject.replace(':', "-");
    assert_eq!(stock.tags("team/app"), [&fallback, "v1"], "the stock registry lists referrers");
    // The same images, pushed.
    let mut pushed = Server::start();
    stock.push_on(&pushed, "team/app", "v1");
    stock.push_on(&pushed, "team/app", &fallback);
    stock.push_on(&pushed, "team/platforms", "all");
    stock.push_on(&pushed, "cranes", "v1");
    let before = folder.path().join("docker/registry/v2/repositories/team/app");
    assert!(before.join("_uploads").is_dir());
    let old = old_revision(&before, &subject, &stock);
    stock.push_on(&pushed, "team/app", &old);
    drop(stock);

    let data = folder.path().join("roadstead");
    let adopted = run(roadstead(["adopt"]).arg(folder.path()).arg("--data").arg(&data));
    assert!(adopted.succeeded(), "{adopted}");
    let root = succeed(roadstead(["root", "--data"]).arg(&data));
    assert_eq!(root, succeed(&mut pushed.command(["root"])), "{adopted}");
    pushed.stop();
    assert_eq!(adopted.stdout.matches("left out upload ").count(), 1, "{adopted}");
    assert!(adopted.stdout.contains(" linked, 0 copied; 1 left out"), "{adopted}");

    let server = Server::start_on(&data);
    let target = Target::of(&server);
    let (Some(skopeo), Some(crane)) = (Skopeo::find(&target), Crane::find(&target)) else { return };
    let Some(regctl) = Regctl::find(&target) else { return };
    let app = target.reference("team/app:v1");
    assert_eq!(&skopeo.pull(&app).contents(), image.contents());
    let all = target.reference("team/platforms:all");
    assert_eq!(files(skopeo.pull_all(&all).path()), before_adoption);
    crane.say(&["validate", "--remote", &target.reference("cranes:v1")]);
    // By the fallback's tag and by the list of referrers.
    let tags = http::get(&server.url("/v2/team/app/tags/list")).json();
    assert_eq!(tags["tags"], json!([fallback, "v1"]));
    let referrers = http::get(&server.url(&format!("/v2/team/app/referrers/{subject}"))).json();
    assert_eq!(referrers["manifests"][0]["artifactType"], NOTE, "{referrers}");
    assert_eq!(regctl.say(&["artifact", "get", "--subject", &app]), "it was tested");
    let catalog = http::get(&server.url("/v2/_catalog")).json();
    assert_eq!(catalog, json!({ "repositories": ["cranes", "team/app", "team/platforms"] }));
    let report = succeed(&mut server.command(["check"]));
    assert!(report.ends_with(": all is well"), "{report}");
}

/// The manifest that the tag pointed to first: no index names it, and it is not the subject.
fn old_revision(repository: &Path, subject: &str, stock: &StockRegistry) -> String {
    let revisions = fs::read_dir(repository.join("_manifests/revisions/sha256"));
    let names = revisions.expect("the folder can be read").map(|entry| {
        let name = entry.expect("the folder can be read").file_name();
        format!("sha256:{}", name.to_string_lossy())
    });
    let is_plain_image = |name: &String| {
        let fetched = stock.manifest("team/app", name);
        let manifest = Manifest::parse(&fetched.bytes, Some(&fetched.media_type));
        // The config is one more.
        manifest.is_ok_and(|it| it.blobs.len() == crate::clients::image::LAYERS + 1)
    };
    names.filter(|name| name != subject).find(is_plain_image).expect("it was pushed")
}
