//! Many clients at once.

use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::assert_whole;
use crate::common::Server;
use crate::content::{OCI_MANIFEST, image, sha256};
use crate::repository::Repository;

/// How many connections are open and say nothing.
const IDLE: usize = 3000;

#[test]
fn thousands_of_idle_connections_are_no_burden() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("a soft limit can be raised to the hard one");
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
    (|server| Repository::of(server, "source").delete(&layer()).status, &[202, 404, 405]),
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
