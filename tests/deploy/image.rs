//! `Dockerfile` and `.dockerignore`.

use std::fs;
use std::process::Command;

use tempfile::TempDir;

use crate::common::{Server, run, succeed};
use crate::deploy::{path, settings, text, yaml};

/// The instructions of the Dockerfile in order: each one's name and the rest, lines joined.
fn instructions() -> Vec<(String, String)> {
    let text = text("Dockerfile");
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let joined = lines.join("\n").replace("\\\n", " ");
    let lines = joined.lines().filter(|line| !line.trim().is_empty());
    let parts = lines.map(|line| line.split_once(' ').expect("an instruction has arguments"));
    parts.map(|(name, rest)| (name.to_owned(), rest.trim().to_owned())).collect()
}

/// The instructions of the stage that becomes the image.
fn last_stage() -> Vec<(String, String)> {
    let all = instructions();
    let from = all.iter().rposition(|(name, _)| name == "FROM").unwrap();
    all[from..].to_vec()
}

/// What the image has in its environment.
pub(crate) fn variables() -> Vec<(String, String)> {
    let of = |(name, rest): (String, String)| {
        let pair = (name == "ENV").then(|| rest.split_once('=').unwrap());
        pair.map(|(name, value)| (name.to_owned(), value.to_owned()))
    };
    last_stage().into_iter().filter_map(of).collect()
}

fn only(name: &str) -> String {
    let mut found = last_stage().into_iter().filter(|(other, _)| other == name);
    let (_, rest) = found.next().unwrap_or_else(|| panic!("no {name}"));
    assert!(found.next().is_none(), "{name} stands there twice");
    rest
}

#[test]
fn the_image_runs_without_root() {
    let user: u32 = only("USER").parse().expect("a number, so that it can be seen not to be root");
    assert!(user > 0);
}

#[test]
fn the_image_listens_on_the_port_that_it_exposes_once_access_is_set() {
    let refused = settings(&[]).expect_err("nobody said who may come");
    assert!(refused.to_string().contains("auth.allow_open"), "{refused}");
    let open = [("ROADSTEAD_AUTH__ALLOW_OPEN".to_owned(), "true".to_owned())];
    let listen = settings(&open).unwrap().server.listen;
    assert!(listen.ip().is_unspecified());
    assert_eq!(listen.port().to_string(), only("EXPOSE"));
}

#[test]
fn the_health_check_sees_whether_the_server_answers() {
    let health = only("HEALTHCHECK");
    let (_, command) = health.split_once("CMD ").unwrap();
    let words = yaml(command);
    let mut server = Server::start();
    let port = server.address().rsplit_once(':').unwrap().1.to_owned();
    let check = || {
        let words = crate::deploy::words(&words);
        let script = words[2].replace("/5000 ", &format!("/{port} "));
        assert_ne!(script, words[2]);
        run(Command::new(words[0]).args([words[1], &script]))
    };
    assert!(check().succeeded(), "{}", check());
    server.stop();
    assert!(!check().succeeded(), "{}", check());
}

/// Every file of the context that is copied, in order.
fn copied() -> Vec<String> {
    let of_context = instructions()
        .into_iter()
        .filter(|(name, rest)| name == "COPY" && !rest.starts_with("--from="));
    let mut all = Vec::new();
    for (_, rest) in of_context {
        let mut words: Vec<String> = rest.split_whitespace().map(str::to_owned).collect();
        words.pop();
        all.append(&mut words);
    }
    all
}

#[test]
fn what_is_copied_is_there_and_nothing_else_goes_to_the_builder() {
    let ignore = text(".dockerignore");
    let mut lines = ignore.lines().filter(|line| !line.starts_with('#'));
    assert_eq!(lines.next(), Some("*"));
    let allowed: Vec<&str> = lines.map(|line| line.strip_prefix('!').unwrap()).collect();
    assert_eq!(copied(), allowed);
    for name in copied() {
        assert!(path(&name).exists(), "{name}");
    }
}

/// The layer of what others wrote is built from a skeleton: cargo has to take it for this package.
#[test]
fn the_skeleton_is_a_package_that_cargo_accepts() {
    let folder = TempDir::new().unwrap();
    for file in ["Cargo.toml", "Cargo.lock"] {
        fs::copy(path(file), folder.path().join(file)).unwrap();
    }
    let all = instructions();
    let (_, skeleton) = all.iter().find(|(name, _)| name == "RUN").unwrap();
    let script = skeleton.strip_suffix("&& cargo build --release --locked").unwrap();
    let mut shell = Command::new("sh");
    succeed(shell.current_dir(folder.path()).args(["-c", &format!("{script} && true")]));
    let cargo = env!("CARGO");
    let metadata = succeed(Command::new(cargo).current_dir(folder.path()).args([
        "metadata",
        "--format-version=1",
        "--no-deps",
        "--locked",
        "--offline",
    ]));
    let metadata: serde_json::Value = serde_json::from_str(&metadata).unwrap();
    let targets = metadata["packages"][0]["targets"].as_array().unwrap();
    let is = |kind: &str| targets.iter().any(|target| target["kind"][0] == kind);
    assert!(is("bin") && is("lib"), "{targets:?}");
}
