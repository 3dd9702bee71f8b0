//! A disk that is full, and one that can only be read.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use reqwest::Method;
use tempfile::TempDir;

use crate::assert_whole;
use crate::common::http::{self, Response};
use crate::common::{Server, require, require_root, roadstead, run, succeed};
use crate::content::{MIB, OCI_MANIFEST, image, noise, sha256};
use crate::repository::{Repository, Upload, assert_refused};

/// A small disk of the test's own, unmounted when it is dropped.
struct Disk(TempDir);

impl Disk {
    fn mount(size: &str) -> Option<Self> {
        require_root()?;
        let folder = TempDir::new().expect("a temporary folder can be made");
        succeed(
            Command::new("mount")
                .args(["-t", "tmpfs", "-o", &format!("size={size}"), "roadstead-test"])
                .arg(folder.path()),
        );
        Some(Self(folder))
    }

    fn grow(&self, size: &str) {
        let options = format!("remount,size={size}");
        succeed(Command::new("mount").args(["-o", &options]).arg(self.0.path()));
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        succeed(Command::new("umount").arg(self.0.path()));
    }
}

/// Pushes blobs of that size until there is no more room; every refusal says so.
fn fill(repository: &Repository<'_>, size: usize, seed: u64) -> u64 {
    for number in seed.. {
        let content = noise(size, number);
        let rest = format!("blobs/uploads/?digest={}", sha256(&content));
        let response = repository.send(reqwest::Method::POST, &rest, |it| it.body(content));
        if response.status != 201 {
            assert_refused(&response, 507, "UNAVAILABLE");
            return number;
        }
    }
    unreachable!("every disk is full at some time")
}

#[test]
fn a_full_disk_refuses_pushes_loses_nothing_and_goes_on_when_there_is_room() {
    let Some(disk) = Disk::mount("32m") else { return };
    let server = Server::start_on(&disk.path().join("data"));
    let repository = Repository::of(&server, "team/app");
    let before = repository.push_image("before", "word");
    let (config, layer) = (repository.push_blob(b"{}"), repository.push_blob(b"waiting"));

    let mut seed = 1;
    for size in [3 * MIB, 100_000, 1000] {
        seed = fill(&repository, size, seed) + 1;
    }
    let waiting = image(b"{}", &[b"waiting"]).to_string().into_bytes();
    let refused = repository.put("waiting", OCI_MANIFEST, &waiting);
    assert_refused(&refused, 507, "UNAVAILABLE");
    assert_eq!(repository.get("manifests/before").body, before.manifest, "pulls go on");
    assert_eq!(repository.get(&format!("blobs/{}", sha256(&before.layer))).body, before.layer);
    assert_eq!((config, layer), (sha256(b"{}"), sha256(b"waiting")));

    disk.grow("64m");
    let after = repository.push_image("after", "other word");
    assert_eq!(repository.put("waiting", OCI_MANIFEST, &waiting).status, 201);
    assert_eq!(repository.get("manifests/waiting").body, waiting);
    assert_eq!(repository.get("manifests/after").body, after.manifest);
    assert_whole(&server);
    drop(server);
}

/// The size of a disk that can break.
const SIZE: u64 = 64 << 20;

/// A file system in a file, which can meet an error as real ones do: ext4 is read-only from then on, also for whoever has
/// files open to write to them. Unmounted when it is dropped.
struct BreakingDisk {
    folder: TempDir,
    place: PathBuf,
}

impl BreakingDisk {
    fn mount() -> Option<Self> {
        require_root()?;
        let make = require("mkfs.ext4")?;
        let folder = TempDir::new().expect("a temporary folder can be made");
        let file = File::create(folder.path().join("disk")).expect("the folder is ours");
        file.set_len(SIZE).expect("a file can be made longer");
        succeed(Command::new(make).arg("-q").arg(folder.path().join("disk")));
        let place = folder.path().join("mounted");
        fs::create_dir(&place).expect("the folder is ours");
        let disk = Self { folder, place };
        disk.mount_again("rw");
        Some(disk)
    }

    fn mount_again(&self, options: &str) {
        let mut mount = Command::new("mount");
        mount.args(["-t", "ext4", "-o", &format!("loop,{options}")]);
        succeed(mount.arg(self.folder.path().join("disk")).arg(&self.place));
    }

    fn unmount(&self) {
        succeed(Command::new("umount").arg(&self.place));
    }

    /// Has the kernel take it for broken.
    fn break_down(&self) {
        succeed(Command::new("mount").args(["-o", "remount,abort"]).arg(&self.place));
    }

    fn data(&self) -> PathBuf {
        self.place.join("data")
    }
}

impl Drop for BreakingDisk {
    fn drop(&mut self) {
        // A test that failed may have left it unmounted.
        run(Command::new("umount").arg(&self.place));
    }
}

/// Asks for all that a pull asks for, and checks the answers.
fn pull(
    server: &Server,
    repository: &Repository<'_>,
    image: &crate::repository::Pushed,
    tag: &str,
) {
    for reference in [tag, &image.digest] {
        let path = format!("manifests/{reference}");
        assert_eq!(repository.get(&path).body, image.manifest);
        assert_eq!(repository.head(&path).status, 200);
    }
    for blob in [&image.config, &image.layer] {
        let path = format!("blobs/{}", sha256(blob));
        assert_eq!(&repository.get(&path).body, blob);
        assert_eq!(repository.head(&path).status, 200);
        let part = repository.send(Method::GET, &path, |it| it.header("range", "bytes=1-2"));
        assert_eq!((part.status, &part.body[..]), (206, &blob[1..=2]));
    }
    for path in ["tags/list", &format!("referrers/{}", image.digest)] {
        assert_eq!(repository.get(path).status, 200, "{path}");
    }
    for path in ["/v2/", "/v2/_catalog", "/healthz"] {
        assert_eq!(http::get(&server.url(path)).status, 200, "{path}");
    }
}

#[test]
fn a_disk_that_can_only_be_read_serves_pulls_and_refuses_pushes_until_it_is_mended() {
    let Some(disk) = BreakingDisk::mount() else { return };
    let mut server = Server::start_on(&disk.data());
    let repository = Repository::of(&server, "team/app");
    let images = ["v1", "v2"].map(|tag| repository.push_image(tag, &format!("word of {tag}")));
    let layer = repository.push_blob(b"waiting");
    repository.push_blob(b"{}");
    let upload = repository.begin();
    assert_eq!(upload.stream(b"01234").status, 202);
    let location = upload.location.clone();
    // Then not all is in memory already.
    assert!(server.stop().success());
    server.start_again();
    let repository = Repository::of(&server, "team/app");
    let upload = Upload::at(&server, &location);
    pull(&server, &repository, &images[0], "v1");
    assert_eq!(http::get(&server.url("/readyz")).status, 200);

    disk.break_down();
    let waiting = image(b"{}", &[b"waiting"]).to_string().into_bytes();
    let digest = sha256(b"0123456789");
    for _ in 0..3 {
        for (image, tag) in images.iter().zip(["v1", "v2"]) {
            pull(&server, &repository, image, tag);
        }
        let begun = Instant::now();
        let other = Repository::of(&server, "other/app");
        for (what, refused) in [
            ("begin", repository.post("blobs/uploads/")),
            ("append", upload.chunk(5, b"56789")),
            ("stream", upload.stream(b"56789")),
            ("finish", upload.finish_with(&digest, b"56789")),
            ("cancel", upload.cancel()),
            ("push", {
                let rest = format!("blobs/uploads/?digest={digest}");
                repository.send(Method::POST, &rest, |it| it.body("0123456789"))
            }),
            ("mount", other.post(&format!("blobs/uploads/?mount={layer}&from=team/app"))),
            ("manifest", repository.put("waiting", OCI_MANIFEST, &waiting)),
            ("untag", repository.delete("manifests/v1")),
            ("delete", repository.delete(&format!("manifests/{}", images[0].digest))),
            ("forget", repository.delete(&format!("blobs/{layer}"))),
        ] {
            assert_eq!(refused.status, 503, "{what}: {}", refused.text());
            assert_refused(&refused, 503, "UNAVAILABLE");
            assert_ne!(refused.header("retry-after"), "", "{what}");
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "nobody waits for it");
        let ready = http::get(&server.url("/readyz"));
        assert_eq!(ready.status, 503, "{}", ready.text());
        for part in ["index", "storage"] {
            assert!(told(&ready, part).contains("can only be read"), "{}", ready.text());
        }
    }
    let log = server.log();
    assert!(!log.contains("panicked"), "{log}");
    let stopped = server.stop();
    assert!(stopped.success(), "{stopped}: {}", server.log());

    let mut serve = roadstead(["serve", "--listen", "127.0.0.1:0", "--data"]);
    let refused = run(serve.arg(disk.data()));
    assert_eq!(refused.code, Some(1), "{refused}");
    let reason = "cannot be used\n  caused by: Read-only file system";
    assert!(refused.stderr.contains(reason), "{refused}");

    disk.unmount();
    // Mends it by its journal.
    disk.mount_again("rw");
    disk.unmount();
    disk.mount_again("ro");
    let refused = run(&mut serve);
    assert!(refused.code == Some(1) && refused.stderr.contains(reason), "{refused}");
    disk.unmount();
    disk.mount_again("rw");
    server.start_again();
    let repository = Repository::of(&server, "team/app");
    for (image, tag) in images.iter().zip(["v1", "v2"]) {
        pull(&server, &repository, image, tag);
    }
    assert_eq!(http::get(&server.url("/readyz")).status, 200);
    assert_eq!(repository.put("waiting", OCI_MANIFEST, &waiting).status, 201);
    assert_whole(&server);
    drop(server);
}

fn told(ready: &Response, part: &str) -> String {
    ready.json()[part].as_str().expect("each part says how it is").to_owned()
}
