//! Clients that are slow, that vanish, and that lie: what they begin goes with them.

use std::fs;
use std::sync::LazyLock;
use std::thread;
use std::time::Duration;

use crate::common::Server;
use crate::common::connection::Connection;
use crate::common::content::{MIB, NOBODYS, OCI_MANIFEST, image, noise, sha256};
use crate::common::repository::{Repository, assert_nothing_is_left, wait};
use crate::faults::assert_whole;

/// How often each of them comes, with all others at the same time.
const ROUNDS: u64 = 3;

/// A client that misbehaves; no two of a number send the same.
type Rude = fn(&Server, &Repository<'_>, u64);

const RUDE: [(&str, Rude); 14] = [
    ("hangs up in the middle of a blob", |server, repository, number| {
        push_half(server, repository, number, drop);
    }),
    ("is killed in the middle of a blob", |server, repository, number| {
        push_half(server, repository, number, Connection::reset);
    }),
    ("begins, and never comes back", |_, repository, _| {
        repository.begin();
    }),
    ("appends, and never comes back", |_, repository, number| {
        assert_status(repository.begin().stream(&noise(MIB, number)).status, 202);
    }),
    ("is killed while it appends", |server, repository, number| {
        let upload = repository.begin();
        let mut connection = Connection::open(server);
        connection.ask("PATCH", &upload.location, &[("Transfer-Encoding", "chunked")]);
        connection.send(format!("{MIB:x}\r\n"));
        connection.send(&noise(MIB, number)[..MIB / 2]);
        connection.reset();
    }),
    ("is killed in the middle of the end", |server, repository, number| {
        let (upload, content) = (repository.begin(), noise(MIB, number));
        let mut connection = Connection::open(server);
        let target = format!("{}?digest={}", upload.location, sha256(&content));
        connection.ask("PUT", &target, &[("Content-Length", &MIB.to_string())]);
        connection.send(&content[..MIB - 1]);
        connection.reset();
    }),
    ("announces more than it sends", |server, repository, number| {
        let (upload, content) = (repository.begin(), noise(1000, number));
        let mut connection = Connection::open(server);
        let target = format!("{}?digest={}", upload.location, sha256(&content));
        connection.ask("PUT", &target, &[("Content-Length", "2000")]);
        connection.send(&content);
        connection.end();
        if let Some(answer) = connection.try_answer(false) {
            assert_status(answer.status, 400);
        }
    }),
    ("sends other bytes than it said", |_, repository, number| {
        let upload = repository.begin();
        assert_status(upload.stream(&noise(2 * MIB, number)).status, 202);
        assert_status(upload.finish(NOBODYS).status, 400);
        let rest = format!("blobs/uploads/?digest={NOBODYS}");
        let content = noise(MIB, number);
        let answer = repository.send(reqwest::Method::POST, &rest, |it| it.body(content));
        assert_eq!(answer.status, 400);
    }),
    ("sends another length than it said", |_, repository, number| {
        let (upload, content) = (repository.begin(), noise(1000, number));
        let answer = upload
            .send(reqwest::Method::PATCH, |it| it.header("Content-Range", "0-1999").body(content));
        assert_status(answer.status, 400);
    }),
    ("names what it did not push", |_, repository, number| {
        let word = format!("{{\"{number}\":1}}");
        let manifest = image(word.as_bytes(), &[]).to_string();
        assert_eq!(repository.put("never", OCI_MANIFEST, manifest.as_bytes()).status, 400);
        assert_eq!(repository.put(NOBODYS, OCI_MANIFEST, manifest.as_bytes()).status, 400);
    }),
    ("vanishes in the middle of a manifest", |server, repository, _| {
        let mut connection = Connection::open(server);
        let target = repository.path("manifests/never");
        let headers = [("Content-Type", OCI_MANIFEST), ("Content-Length", "5000")];
        connection.ask("PUT", &target, &headers);
        connection.send("{\"schemaVersion\":2,");
    }),
    ("vanishes in the middle of a pull", |server, repository, _| {
        let mut connection = Connection::open(server);
        let target = repository.path(&format!("blobs/{}", *LARGES));
        connection.ask("GET", &target, &[]);
        assert!(connection.read_some(&mut [0; 1000]) > 0);
        connection.reset();
    }),
    ("vanishes in the middle of a head", |server, _, _| {
        let mut connection = Connection::open(server);
        connection.send("GET /v2/ HTTP/1.1\r\nHost: loc");
    }),
    ("takes longer than uploads are kept", |server, repository, number| {
        let content = noise(60, number);
        let put = || {
            let upload = repository.begin();
            let mut connection = Connection::open(server);
            let target = format!("{}?digest={}", upload.location, sha256(&content));
            connection.ask("PUT", &target, &[("Content-Length", "60")]);
            for byte in &content {
                connection.send([*byte]);
                thread::sleep(Duration::from_millis(50));
            }
            connection.answer().status
        };
        // It may have gone before the PUT came.
        let status = (0..10).map(|_| put()).find(|status| *status != 404);
        assert_eq!(status, Some(201), "whoever is slow is served");
    }),
];

/// Checks an answer about an upload, which is gone if the machine had no time for it until it expired.
fn assert_status(status: u16, expected: u16) {
    assert!([expected, 404].contains(&status), "{status}");
}

fn push_half(server: &Server, repository: &Repository<'_>, number: u64, end: fn(Connection)) {
    let content = noise(3 * MIB, number);
    let mut connection = Connection::open(server);
    let target = repository.path(&format!("blobs/uploads/?digest={}", sha256(&content)));
    connection.ask("POST", &target, &[("Content-Length", &content.len().to_string())]);
    connection.send(&content[..2 * MIB]);
    end(connection);
}

/// A blob that no connection takes at once.
static LARGE: LazyLock<Vec<u8>> = LazyLock::new(|| noise(16 * MIB, 1));

/// Its digest.
static LARGES: LazyLock<String> = LazyLock::new(|| sha256(&LARGE));

/// How many files the server has open that are not finished.
fn temporary_files(server: &Server) -> usize {
    let folder = fs::read_dir(format!("/proc/{}/fd", server.id())).expect("it runs");
    let links = folder.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    links.filter(|link| link.starts_with(server.data().join("tmp"))).count()
}

/// How many connections of clients the server has, those included that only its side has open.
pub(crate) fn connections(server: &Server) -> usize {
    let (_, port) = server.address().rsplit_once(':').expect("an address has a port");
    let port: u16 = port.parse().expect("a port is a number");
    let own = format!("0100007F:{port:04X}");
    let table = fs::read_to_string("/proc/net/tcp").expect("Linux tells");
    // The second column is the near end, the fourth the state: established, or waiting to be closed.
    let is_open = |line: &&str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        columns[1] == own && ["01", "08"].contains(&columns[3])
    };
    table.lines().filter(is_open).count()
}

#[test]
fn clients_that_are_slow_or_vanish_or_lie_leave_nothing_behind() {
    let server = Server::start_with(|command| {
        command
            .env("ROADSTEAD_UPLOADS__EXPIRE_AFTER", "1s")
            .env("ROADSTEAD_UPLOADS__PURGE_INTERVAL", "1s");
    });
    let polite = Repository::of(&server, "team/app");
    let pushed = polite.push_image("v1", "word");
    let digest = polite.push_blob(&LARGE);
    thread::scope(|scope| {
        for (number, (what, rude)) in (0..).zip(RUDE) {
            let server = &server;
            let come = move || {
                for round in 0..ROUNDS {
                    let repository = Repository::of(server, "rude");
                    // For the one who pulls.
                    repository.post(&format!("blobs/uploads/?mount={}&from=team/app", *LARGES));
                    rude(server, &repository, 1000 * number + round + 2);
                }
            };
            let thread = thread::Builder::new().name(what.to_owned());
            thread.spawn_scoped(scope, come).expect("there can be threads");
        }
    });
    assert_nothing_is_left(&server);
    if server.pair().is_none() {
        let left = || fs::read_dir(server.data().join("tmp/files")).expect("it was made").count();
        wait(|| left() == 0, "files are left over");
    }
    wait(|| temporary_files(&server) == 0, "files stay open");
    wait(|| connections(&server) == 0, "connections stay open");

    let log = server.log();
    let errors: Vec<&str> = log.lines().filter(|line| line.contains("\"ERROR\"")).collect();
    assert!(errors.is_empty() && !log.contains("panicked"), "{errors:#?}");
    assert_eq!(polite.get("manifests/v1").body, pushed.manifest);
    assert_eq!(sha256(&polite.get(&format!("blobs/{digest}")).body), digest);
    let tags = Repository::of(&server, "rude").get("tags/list").json();
    assert!(tags["tags"].as_array().is_none_or(Vec::is_empty), "{tags}");
    assert_whole(&server);
}
