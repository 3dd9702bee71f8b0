//! What the log says of clients that mean harm, and what of theirs it does not repeat.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::abuse::with_anna;
use crate::common::connection::ask;
use crate::common::repository::{Repository, wait};
use crate::common::{Server, embedded_only};

#[test]
fn a_wrong_password_is_in_the_log_with_its_user_and_its_client() {
    let server = Server::start_with(with_anna);
    let name = "x".repeat(5000);
    // anna:wrong, "a\x1b[31m\n":wrong, and 5,000 letters
    let endless = format!("Basic {}", base64(&format!("{name}:wrong")));
    let escaping = format!("Basic {}", base64("a\u{1b}[31m\n:wrong"));
    for credentials in ["Basic YW5uYTp3cm9uZw==", &escaping, &endless] {
        let from = [("Authorization", credentials), ("X-Forwarded-For", "203.0.113.9")];
        assert_eq!(ask(&server, "GET", "/v2/", &from).status, 401);
    }
    let lines = || -> Vec<serde_json::Value> {
        let log = server.log();
        let refused = log.lines().filter(|line| line.contains("sign_in_refused"));
        refused.filter_map(|line| serde_json::from_str(line).ok()).collect()
    };
    wait(|| lines().len() == 3, "refused sign-ins are not in the log");
    for line in lines() {
        assert_eq!(line["level"], "WARN", "{line}");
        assert_eq!(line["client_address"], "127.0.0.1", "{line}");
        assert_eq!(line["forwarded_address"], "203.0.113.9", "{line}");
        let user = line["user"].as_str().unwrap();
        assert!(user.len() <= 300 && !user.contains(char::is_control), "{line}");
    }
    assert_eq!(lines()[0]["user"], "anna");
    // One that is anonymous has tried nothing.
    assert_eq!(ask(&server, "GET", "/v2/", &[]).status, 401);
    assert_eq!(lines().len(), 3);
}

#[test]
fn a_long_path_is_cut_and_a_push_says_what_it_was() {
    let server = Server::start();
    let path = format!("/v2/{}", "a/".repeat(15_000));
    ask(&server, "GET", &path, &[]);
    let pushed = Repository::of(&server, "team/app").push_image("v1", "word");
    let found = || {
        let log = server.log();
        let line = log.lines().find(|line| line.contains("manifest_push"))?;
        serde_json::from_str::<serde_json::Value>(line).ok()
    };
    wait(|| found().is_some(), "the push is not in the log");
    let line = found().unwrap();
    assert_eq!(line["service"], "roadstead", "{line}");
    assert_eq!(line["repository"], "team/app", "{line}");
    assert_eq!(line["reference"], "v1", "{line}");
    assert_eq!(line["digest"], *pushed.digest, "{line}");
    assert_eq!(line["size"], pushed.manifest.len(), "{line}");
    assert!(line["duration_ms"].is_u64(), "{line}");
    assert!(server.log().lines().all(|line| line.len() < 3000), "a line is as long as its path");
}

#[test]
fn the_data_folder_is_private_and_its_lock_names_no_process_that_ended() {
    let Some(()) = embedded_only("it looks at files of the embedded store") else { return };
    let mut server = Server::start();
    Repository::of(&server, "team/app").push_image("v1", "word");
    let mode = |path: &str| {
        let metadata = fs::metadata(server.data().join(path)).expect("it is there");
        metadata.permissions().mode() & 0o777
    };
    assert_eq!(mode(""), 0o700);
    for path in ["index.sqlite", "lock", "tmp", "public"] {
        assert_eq!(mode(path) & 0o007, 0, "{path}");
    }
    let lock = server.data().join("lock");
    assert_eq!(fs::read_to_string(&lock).unwrap().trim(), server.id().to_string());
    assert!(server.stop().success());
    assert_eq!(fs::read_to_string(&lock).unwrap(), "");
    // An open one is used, and said to be open.
    fs::set_permissions(server.data(), fs::Permissions::from_mode(0o755)).unwrap();
    server.start_again();
    wait(|| server.log().contains("chmod 700"), "the log does not warn");
}

fn base64(text: &str) -> String {
    use base64::Engine;
    base64::prelude::BASE64_STANDARD.encode(text)
}
