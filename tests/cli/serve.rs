//! `roadstead serve`: starting, refusing to start, stopping.

use std::fs;
use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::cli::push;
use crate::common::repository::wait;
use crate::common::{Server, embedded_only, http, is_over_kubo, roadstead, run};

#[test]
fn a_folder_that_another_process_owns_is_refused() {
    let server = Server::start();
    let refused = run(&mut server.command(["serve", "--listen", "127.0.0.1:0"]));
    assert_eq!(refused.code, Some(1), "{refused}");
    assert!(
        refused.stderr.contains("is in use by another process, roadstead with pid "),
        "{refused}"
    );
    assert!(refused.stderr.contains(&server.data().display().to_string()), "{refused}");
    let refused = run(&mut server.command(["index", "rebuild"]));
    assert!(refused.stderr.contains("is in use by another process"), "{refused}");
    assert_eq!(http::get(&server.url("/v2/")).status, 200);
}

#[test]
fn a_port_that_is_taken_is_refused() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = TempDir::new().unwrap();
    let refused = run(roadstead(["serve", "--listen", &address]).current_dir(folder.path()));
    assert_eq!(refused.code, Some(1), "{refused}");
    assert!(refused.stderr.contains(&format!("cannot listen on {address}")), "{refused}");
    assert!(refused.stderr.contains("--listen 127.0.0.1:"), "it says what to do: {refused}");
    assert!(!folder.path().join("data").exists(), "nothing is made before the port is ours");
}

#[test]
fn a_machine_without_certificates_of_authorities_runs_a_registry() {
    let none = TempDir::new().unwrap();
    let folder = none.path().to_owned();
    let server = Server::start_with(move |command| {
        command
            .env("SSL_CERT_FILE", "/dev/null")
            .env("SSL_CERT_DIR", &folder)
            .env("ROADSTEAD_FEDERATION__GATEWAYS", "https://127.0.0.1:1");
    });
    push::image(&server, "team/app", "v1", "layer");
    assert_eq!(http::get(&server.url("/v2/team/app/manifests/v1")).status, 200);
    // A root that no node of the tests has.
    let foreign = "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi/app";
    let failed = http::get(&server.url(&format!("/v2/{foreign}/manifests/v1"))).status;
    // A node of Kubo may go on looking for it until the time is over.
    assert!(failed == 502 || (is_over_kubo() && failed == 504), "{failed}");
    assert!(server.log().contains("ca-certificates"), "{}", server.log());
}

#[test]
fn a_folder_that_cannot_be_used_is_refused() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, b"not a folder").unwrap();
    let refused = run(roadstead(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(&file));
    assert_eq!(refused.code, Some(1), "{refused}");
    assert!(
        refused.stderr.contains(&format!("cannot use the data folder {}", file.display())),
        "{refused}"
    );
}

#[test]
fn a_folder_spread_over_devices_is_refused() {
    let (folder, other) = (TempDir::new().unwrap(), TempDir::new_in("/dev/shm"));
    let Ok(other) = other else { return crate::common::tools::skip("there is no /dev/shm") };
    std::os::unix::fs::symlink(other.path(), folder.path().join("public")).unwrap();
    let refused = run(roadstead(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(folder.path()));
    assert_eq!(refused.code, Some(1), "{refused}");
    assert!(refused.stderr.contains("cannot link files of"), "{refused}");
}

#[test]
fn open_access_from_a_network_is_refused_unless_it_is_allowed() {
    let folder = TempDir::new().unwrap();
    let refused = run(roadstead(["serve", "--listen", "0.0.0.0:0", "--data"]).arg(folder.path()));
    assert_eq!(refused.code, Some(2), "{refused}");
    assert!(refused.stderr.contains("auth.allow_open"), "{refused}");
}

#[test]
fn an_index_that_is_gone_is_noticed_at_start() {
    let mut server = Server::start();
    push::image(&server, "team/app", "v1", "layer");
    server.stop();
    server.lose_index();
    let refused = run(&mut server.command(["serve", "--listen", "127.0.0.1:0"]));
    assert_eq!(refused.code, Some(1), "{refused}");
    assert!(refused.stderr.contains("run `roadstead index rebuild`"), "{refused}");
    let rebuilt = run(&mut server.command(["index", "rebuild"]));
    assert!(rebuilt.succeeded(), "{rebuilt}");
    server.start_again();
    assert_eq!(http::get(&server.url("/v2/team/app/manifests/v1")).status, 200);
}

#[test]
fn a_stop_is_quick_when_nothing_is_under_way() {
    let mut server = Server::start();
    let begun = Instant::now();
    assert!(server.stop().success());
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[test]
fn health_and_readiness_are_answered() {
    let Some(()) = embedded_only("it moves a folder of the data folder") else { return };
    let server = Server::start();
    assert_eq!(http::get(&server.url("/healthz")).json()["status"], "ok");
    let ready = http::get(&server.url("/readyz"));
    assert_eq!(
        (ready.status, ready.json()),
        (200, serde_json::json!({ "index": "ok", "storage": "ok" }))
    );
    fs::rename(server.data().join("tmp"), server.data().join("gone")).unwrap();
    wait(|| http::get(&server.url("/readyz")).status == 503, "it is not told");
    let not_ready = http::get(&server.url("/readyz"));
    assert_eq!((not_ready.status, not_ready.json()["index"].as_str()), (503, Some("ok")));
    assert_eq!(not_ready.json()["storage"], "not available", "neither a cause nor a path");
    wait(|| server.log().contains("not ready"), "the cause is not in the log");
    fs::rename(server.data().join("gone"), server.data().join("tmp")).unwrap();
    wait(|| http::get(&server.url("/readyz")).status == 200, "it is not ready again");
}

/// Each look writes to the index and the storage, and needs no name.
#[test]
fn many_who_ask_whether_it_is_ready_have_one_look_made() {
    let Some(()) = embedded_only("it moves a folder of the data folder") else { return };
    let server = Server::start();
    fs::rename(server.data().join("tmp"), server.data().join("gone")).unwrap();
    let begun = Instant::now();
    let asking = || (0..25).for_each(|_| assert_eq!(http::get(&server.url("/readyz")).status, 503));
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(asking);
        }
    });
    // Each look has its line in the log.
    let looks = server.log().matches("not ready").count() as u64;
    let most = 2 + begun.elapsed().as_secs();
    assert!((1..=most).contains(&looks), "{looks} looks for 200 requests");
}
