//! Many clients at once.

use std::fs;
use std::net::TcpStream;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::common::Server;
use crate::common::content::{MIB, OCI_MANIFEST, image, noise, sha256};
use crate::common::repository::{Repository, assert_nothing_is_left};
use crate::faults::assert_whole;

/// How many connections are open and say nothing.
const IDLE: usize = 3000;

/// Allows this process as many connections as the system does.
pub(crate) fn raise_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("a soft limit can be raised to the hard one");
}

#[test]
fn thousands_of_idle_connections_are_no_burden() {
    raise_limit();
    let server = Server::start();
    let idle: Vec<TcpStream> = (0..IDLE)
        .map(|number| {
            TcpStream::connect(server.address())
                .unwrap_or_else(|error| panic!("connection {number}: {error}"))
        })
        .collect();
    let pushed = Repository::of(&server, "team/app").push_image("v1", "word");
    assert_eq!(Repository::of(&server, "team/app").get("manifests/v1").body, pushed.manifest);
    drop(idle);
}

const CONFIG: &[u8] = b"{}";
const LAYER: &[u8] = b"layer";

fn manifest() -> Vec<u8> {
    image(CONFIG, &[LAYER]).to_string().into_bytes()
}

fn layer() -> String {
    format!("blobs/{}", sha256(LAYER))
}

/// A request, and the statuses that it may be answered with.
type Ask = (fn(&Server) -> u16, &'static [u16]);

/// What others do meanwhile.
const MEANWHILE: [Ask; 4] = [
    (
        |server| {
            let path = format!("manifests/{}", sha256(&manifest()));
            Repository::of(server, "source").delete(&path).status
        },
        &[202, 404],
    ),
    (|server| Repository::of(server, "source").delete(&layer()).status, &[202, 404, 409]),
    (|server| Repository::of(server, "source").get(&layer()).status, &[200, 404]),
    (
        |server| {
            let mount = format!("blobs/uploads/?mount={}&from=source", sha256(LAYER));
            Repository::of(server, "target").post(&mount).status
        },
        &[201, 202],
    ),
];

/// Tells the others to stop.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Whatever order they come in: a manifest is there with all that it names, or not at all.
#[test]
fn deletions_race_pushes_pulls_and_mounts() {
    let server = Server::start();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        // Also when this thread panics.
        let _end = End(&is_over);
        for (ask, allowed) in MEANWHILE {
            let (server, is_over) = (&server, &is_over);
            scope.spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    let status = ask(server);
                    assert!(allowed.contains(&status), "{status} is none of {allowed:?}");
                }
            });
        }
        let source = Repository::of(&server, "source");
        for _ in 0..60 {
            source.push_blob(CONFIG);
            source.push_blob(LAYER);
            let status = source.put("v1", OCI_MANIFEST, &manifest()).status;
            // The layer may have been deleted again.
            assert!([201, 400].contains(&status), "{status}");
        }
    });
    assert_whole(&server);
}

/// How many push the same blob, and how often.
const SAME: usize = 8;
const TIMES: u64 = 5;

/// Half of them to one repository, the others each to one of its own; in one request, as a stream, or in chunks.
#[test]
fn of_eight_who_push_the_same_blob_at_once_each_succeeds_and_one_file_stays() {
    let server = Server::start();
    for time in 0..TIMES {
        let content = noise(3 * MIB + 17, time);
        let digest = sha256(&content);
        let start = Barrier::new(SAME);
        thread::scope(|scope| {
            for pusher in 0..SAME {
                let (server, content, digest, start) = (&server, &content, &digest, &start);
                scope.spawn(move || {
                    let name =
                        if pusher % 2 == 0 { "same".to_owned() } else { format!("of/{pusher}") };
                    let repository = Repository::of(server, &name);
                    let (first, last) = content.split_at(MIB + 3);
                    let upload = repository.begin();
                    start.wait();
                    let status = match pusher % 3 {
                        0 => upload.finish_with(digest, content).status,
                        1 => {
                            assert_eq!(upload.stream(content).status, 202);
                            upload.finish(digest).status
                        }
                        _ => {
                            assert_eq!(upload.chunk(0, first).status, 202);
                            upload.finish_with_chunk(digest, first.len(), last).status
                        }
                    };
                    assert_eq!(status, 201, "pusher {pusher}");
                    let pulled = repository.get(&format!("blobs/{digest}"));
                    assert!(pulled.body == *content, "pusher {pusher}");
                });
            }
        });
        if server.pair().is_some() {
            continue; // The same bytes are the same blocks there.
        }
        let hex = digest.trim_start_matches("sha256:");
        let folder = server.data().join("content/sha256").join(&hex[..2]);
        let names = fs::read_dir(folder).expect("the server made it");
        assert_eq!(names.filter(|it| it.as_ref().is_ok_and(|it| it.file_name() == hex)).count(), 1);
    }
    assert_nothing_is_left(&server);
    assert_whole(&server);
}
