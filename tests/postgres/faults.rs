//! Postgres goes away under load and comes back: clients are told, nothing acknowledged is lost, and
//! the registry goes on by itself.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use cid::Cid;
use roadstead::index::{self, IndexErrorKind};
use roadstead::oci::TreeId;

use crate::common::content::{OCI_MANIFEST, image, sha256};
use crate::common::repository::Repository;
use crate::common::{Postgres, Server, http, run};
use crate::postgres::serve_with;

/// How long the registry may take until it serves again.
const RECOVERED: Duration = Duration::from_mins(1);

/// What clients have seen.
#[derive(Default)]
struct Seen {
    acknowledged: Mutex<Vec<String>>,
    unavailable: Mutex<u32>,
    is_over: AtomicBool,
}

impl Seen {
    fn count(&self) -> usize {
        self.acknowledged.lock().expect("nobody panics with it").len()
    }

    fn refusals(&self) -> u32 {
        *self.unavailable.lock().expect("nobody panics with it")
    }

    /// Notes an answer; tells whether it was the one that was hoped for.
    fn take(&self, answer: &http::Response, status: u16) -> bool {
        if answer.status == 503 {
            assert!(!answer.header("retry-after").is_empty(), "{}", answer.text());
            let code = answer.json()["errors"][0]["code"].as_str().map(str::to_owned);
            assert_eq!(code.as_deref(), Some("UNAVAILABLE"), "{}", answer.text());
            *self.unavailable.lock().expect("nobody panics with it") += 1;
            return false;
        }
        assert_eq!(answer.status, status, "{}", answer.text());
        true
    }
}

/// Pushes images, one after the other, each time until it is acknowledged.
fn push(url: &str, client: usize, seen: &Seen) {
    for number in 0.. {
        if seen.is_over.load(Ordering::SeqCst) {
            return;
        }
        let tag = format!("c{client}-{number}");
        let config = tag.clone().into_bytes();
        let manifest = image(&config, &[]).to_string().into_bytes();
        let digest = sha256(&config);
        let blob = format!("{url}/v2/app/blobs/uploads/?digest={digest}");
        let target = format!("{url}/v2/app/manifests/{tag}");
        let answer = http::send(|client| client.post(&blob).body(config.clone()));
        if !seen.take(&answer, 201) {
            continue;
        }
        let answer = http::send(|client| {
            client.put(&target).header("Content-Type", OCI_MANIFEST).body(manifest.clone())
        });
        if seen.take(&answer, 201) {
            seen.acknowledged.lock().expect("nobody panics with it").push(tag);
        }
    }
}

/// Pulls one image again and again.
fn pull(url: &str, expected: &[u8], seen: &Seen) {
    while !seen.is_over.load(Ordering::SeqCst) {
        let answer = http::get(&format!("{url}/v2/app/manifests/v1"));
        if seen.take(&answer, 200) {
            assert!(answer.body == expected);
        }
    }
}

fn wait(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < RECOVERED, "{what} never happened");
        thread::sleep(Duration::from_millis(20));
    }
}

fn under_load(stop: impl Fn(&mut Postgres)) {
    let Some(mut postgres) = Postgres::start(&[]) else { return };
    let server = serve_with(&postgres.url());
    let first = Repository::of(&server, "app").push_image("v1", "word");
    let seen = Arc::new(Seen::default());
    let mut clients = Vec::new();
    for client in 0..4 {
        let (url, seen) = (server.url(""), seen.clone());
        clients.push(thread::spawn(move || push(&url, client, &seen)));
    }
    for _ in 0..4 {
        let (url, seen, manifest) = (server.url(""), seen.clone(), first.manifest.clone());
        clients.push(thread::spawn(move || pull(&url, &manifest, &seen)));
    }
    for _ in 0..3 {
        let pushed = seen.count();
        wait("a push", || seen.count() > pushed + 4);
        let refused = seen.refusals();
        stop(&mut postgres);
        wait("a refusal", || seen.refusals() > refused + 4);
        wait("an outage", || http::get(&server.url("/readyz")).status == 503);
        postgres.start_again();
        wait("recovery", || http::get(&server.url("/readyz")).status == 200);
    }
    let pushed = seen.count();
    wait("a push", || seen.count() > pushed + 4);
    seen.is_over.store(true, Ordering::SeqCst);
    for client in clients {
        client.join().expect("each answer was a good one");
    }
    assert_everything_is_there(&server, &postgres, &seen);
    let locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'";
    wait("the end of every lock", || postgres.sql(locks) == "0");
}

fn assert_everything_is_there(server: &Server, postgres: &Postgres, seen: &Seen) {
    for tag in seen.acknowledged.lock().expect("nobody panics with it").iter() {
        let answer = http::get(&server.url(&format!("/v2/app/manifests/{tag}")));
        assert_eq!(answer.status, 200, "{tag} was acknowledged");
        let expected = image(tag.as_bytes(), &[]).to_string().into_bytes();
        assert!(answer.body == expected);
    }
    let mut check = server.command(["check"]);
    let report = run(check.env("ROADSTEAD_INDEX__URL", postgres.url()));
    assert!(report.succeeded(), "{report}");
}

#[test]
fn postgres_may_stop_under_load() {
    under_load(Postgres::stop);
}

#[test]
fn postgres_may_be_killed_under_load() {
    under_load(Postgres::kill);
}

/// It takes connections and says nothing: whoever asks is told so, and does not wait for ever.
#[test]
fn postgres_may_hang() {
    let Some(postgres) = Postgres::start(&[]) else { return };
    let url = postgres.url();
    let server = Server::start_with(move |command| {
        command
            .env("ROADSTEAD_INDEX__URL", &url)
            .env("ROADSTEAD_INDEX__POSTGRES__STATEMENT_TIMEOUT", "1s")
            .env("ROADSTEAD_INDEX__POSTGRES__ACQUIRE_TIMEOUT", "1s");
    });
    let pushed = Repository::of(&server, "app").push_image("v1", "word");
    postgres.freeze();
    let seen = Seen::default();
    for path in ["/v2/app/manifests/v1", "/v2/app/tags/list"] {
        assert!(!seen.take(&http::get(&server.url(path)), 200), "{path} is answered");
    }
    let upload = server.url("/v2/app/blobs/uploads/");
    assert!(!seen.take(&http::send(|client| client.post(&upload)), 202));
    postgres.thaw();
    wait("recovery", || http::get(&server.url("/readyz")).status == 200);
    assert!(http::get(&server.url("/v2/app/manifests/v1")).body == pushed.manifest);
    Repository::of(&server, "app").push_image("v2", "another");
}

/// Each step of a stop has a limit of its own.
#[test]
fn a_server_stops_in_time_while_postgres_hangs() {
    let Some(postgres) = Postgres::start(&[]) else { return };
    let url = postgres.url();
    let mut server = Server::start_with(move |command| {
        command
            .env("ROADSTEAD_INDEX__URL", &url)
            .env("ROADSTEAD_SERVER__SHUTDOWN_GRACE", "1s")
            .env("ROADSTEAD_INDEX__POSTGRES__STATEMENT_TIMEOUT", "30m")
            .env("ROADSTEAD_INDEX__POSTGRES__ACQUIRE_TIMEOUT", "30m");
    });
    Repository::of(&server, "app").push_image("v1", "word");
    postgres.freeze();
    let begun = Instant::now();
    server.stop();
    assert!(begun.elapsed() < Duration::from_mins(1), "{:?}", begun.elapsed());
    postgres.thaw();
    server.start_again();
    assert_eq!(http::get(&server.url("/v2/app/manifests/v1")).status, 200);
}

/// A writer whose session ended with the server cannot commit, and another one is writer meanwhile.
#[test]
fn a_restart_ends_the_writer() {
    let Some(mut postgres) = Postgres::start(&[]) else { return };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
    runtime.block_on(async {
        let one = index::open(&postgres.url()).await.expect("it can be opened");
        let other = index::open(&postgres.url()).await.expect("it can be opened");
        for kill in [Postgres::stop, Postgres::kill] {
            let version = other.version().await.expect("it answers");
            let mut lost = one.lock().await.expect("nobody has the lock");
            lost.begin().await.expect("it can be begun");
            lost.add_node_refs(TreeId::Public, &[(Cid::default(), 1)], 0)
                .await
                .expect("it can be written");
            let linking = one.begin_linking().await.expect("nobody cleans").expect("nobody did");
            kill(&mut postgres);
            assert_eq!(kind(one.version().await), IndexErrorKind::Unavailable);
            assert_eq!(kind(other.upload_ids().await), IndexErrorKind::Unavailable);
            assert_eq!(kind(other.begin_cleaning().await), IndexErrorKind::Unavailable);
            postgres.start_again();
            let mut writer = other.lock().await.expect("the lock is free");
            let refs =
                writer.node_refs(TreeId::Public, &[Cid::default()]).await.expect("it answers");
            assert_eq!(refs, [(Cid::default(), 0)]);
            assert!(lost.commit().await.is_err(), "its session has ended");
            assert!(linking.end().await.is_err(), "its session has ended");
            assert_eq!(other.version().await.expect("it answers"), version);
            writer.put_nodes(&[(Cid::default(), None)]).await.expect("it can be written");
            assert!(one.version().await.expect("it answers") > version);
            writer.prune(i64::MAX).await.expect("it can be written");
        }
    });
}

fn kind<T>(outcome: index::Result<T>) -> IndexErrorKind {
    outcome.err().expect("Postgres is away").kind
}

#[test]
fn processes_that_start_at_once_migrate_once() {
    let Some(postgres) = Postgres::start(&[]) else { return };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
    let migrations = std::fs::read_dir("src/index/migrations/postgres").expect("it exists").count();
    for schema in 0..5 {
        postgres.sql(&format!("CREATE SCHEMA s{schema}"));
        let url = format!("{}?options=-c%20search_path%3Ds{schema}", postgres.url());
        runtime.block_on(async {
            let opening = (0..8).map(|_| {
                let url = url.clone();
                tokio::spawn(async move { index::open(&url).await })
            });
            let opening: Vec<_> = opening.collect();
            for opened in opening {
                let index = opened.await.expect("it does not panic").expect("it can be opened");
                index.ping().await.expect("it can be written to");
            }
        });
        let steps = postgres.sql(&format!("SELECT count(*) FROM s{schema}._sqlx_migrations"));
        assert_eq!(steps, migrations.to_string());
    }
}

#[test]
fn the_index_is_rebuilt_after_the_database_was_dropped() {
    let Some(postgres) = Postgres::start(&[]) else { return };
    postgres.sql("CREATE DATABASE registry");
    let url = format!("postgres://postgres@{}/registry", postgres.address());
    let mut server = serve_with(&url);
    let pushed = Repository::of(&server, "team/app").push_image("v1", "word");
    let root = run(server.command(["root"]).env("ROADSTEAD_INDEX__URL", &url));
    server.stop();
    postgres.sql("DROP DATABASE registry");
    postgres.sql("CREATE DATABASE registry");
    let mut command = server.command(["index", "rebuild"]);
    let rebuilt = run(command.env("ROADSTEAD_INDEX__URL", &url));
    assert!(rebuilt.succeeded(), "{rebuilt}");
    server.start_again();
    let repository = Repository::of(&server, "team/app");
    assert!(repository.get("manifests/v1").body == pushed.manifest);
    assert!(repository.get(&format!("blobs/{}", sha256(&pushed.layer))).body == pushed.layer);
    let again = run(server.command(["root"]).env("ROADSTEAD_INDEX__URL", &url));
    assert_eq!(root.stdout, again.stdout);
    assert!(root.succeeded(), "{root}");
    Repository::of(&server, "team/app").push_image("v2", "another");
}
