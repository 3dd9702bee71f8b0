//! A disk that can only be read.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use reqwest::Method;
use tempfile::TempDir;

use crate::common::content::{OCI_MANIFEST, image, sha256};
use crate::common::http::{self, Response};
use crate::common::repository::{Pushed, Repository, Upload, assert_refused, wait};
use crate::common::{Server, embedded_only, require, require_root, roadstead, run, succeed};
use crate::faults::assert_whole;

/// The size of a disk that can break.
const SIZE: u64 = 64 << 20;

/// A file system in a file, which can meet an error as real ones do: ext4 is read-only from then on, also for whoever has
/// files open to write to them. Unmounted when it is dropped.
struct BreakingDisk {
    folder: TempDir,
    mount_point: PathBuf,
}

impl BreakingDisk {
    fn mount() -> Option<Self> {
        require_root()?;
        let make = require("mkfs.ext4")?;
        let folder = TempDir::new().expect("a temporary folder can be made");
        let file = File::create(folder.path().join("disk")).expect("the folder is ours");
        file.set_len(SIZE).expect("a file can be made longer");
        succeed(Command::new(make).arg("-q").arg(folder.path().join("disk")));
        let mount_point = folder.path().join("mounted");
        fs::create_dir(&mount_point).expect("the folder is ours");
        let disk = Self { folder, mount_point };
        disk.mount_again("rw");
        Some(disk)
    }

    fn mount_again(&self, options: &str) {
        let mut mount = Command::new("mount");
        mount.args(["-t", "ext4", "-o", &format!("loop,{options}")]);
        succeed(mount.arg(self.folder.path().join("disk")).arg(&self.mount_point));
    }

    fn unmount(&self) {
        succeed(Command::new("umount").arg(&self.mount_point));
    }

    /// Has the kernel take it for broken.
    fn break_down(&self) {
        succeed(Command::new("mount").args(["-o", "remount,abort"]).arg(&self.mount_point));
    }

    fn data(&self) -> PathBuf {
        self.mount_point.join("data")
    }
}

impl Drop for BreakingDisk {
    fn drop(&mut self) {
        // A test that failed may have left it unmounted.
        run(Command::new("umount").arg(&self.mount_point));
    }
}

/// Asks for all that a pull asks for, and checks the answers.
fn pull(server: &Server, repository: &Repository<'_>, image: &Pushed, tag: &str) {
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
    let Some(()) = embedded_only("the disk is the data folder's") else { return };
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
        let is_reported = || readiness_of(&http::get(&server.url("/readyz")), "index") != "ok";
        wait(is_reported, "it is not reported");
        let ready = http::get(&server.url("/readyz"));
        assert_eq!(ready.status, 200, "pulls are served: {}", ready.text());
        for part in ["index", "storage"] {
            assert!(readiness_of(&ready, part).contains("is read-only"), "{}", ready.text());
        }
    }
    let log = server.log();
    assert!(!log.contains("panicked"), "{log}");
    let stopped = server.stop();
    assert!(stopped.success(), "{stopped}: {}", server.log());

    let mut serve = roadstead(["serve", "--listen", "127.0.0.1:0", "--data"]);
    let refused = run(serve.arg(disk.data()));
    assert_eq!(refused.code, Some(1), "{refused}");
    assert!(refused.stderr.contains("cannot use the data folder"), "{refused}");
    assert!(refused.stderr.contains("caused by: Read-only file system"), "{refused}");

    disk.unmount();
    // Mends it by its journal.
    disk.mount_again("rw");
    disk.unmount();
    disk.mount_again("ro");
    let refused = run(&mut serve);
    assert_eq!(refused.code, Some(1), "{refused}");
    assert!(refused.stderr.contains("caused by: Read-only file system"), "{refused}");
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

fn readiness_of(ready: &Response, part: &str) -> String {
    ready.json()[part].as_str().expect("each part says how it is").to_owned()
}
