//! The documentation is right: each command in it is run, in its order, and says what is shown.
//!
//! A command that the sandbox cannot run fails the test; the few that are only shown are listed with
//! the reason in `sandbox.rs`, as is what stands for the places and names of the examples.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

pub(crate) mod blocks;
mod docker;
mod proxy;
mod sandbox;
mod users;

use std::fs;
use std::path::PathBuf;

use crate::common::require;
use roadstead::config::{SETTINGS, Settings, Sources};
use sandbox::Sandbox;

/// What the commands need beside the shell.
const TOOLS: [&str; 6] = ["nginx", "htpasswd", "openssl", "rsync", "curl", "systemd-analyze"];

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_commands_for_running_it_are_right() {
    if TOOLS.iter().any(|tool| require(tool).is_none()) {
        return;
    }
    let mut sandbox = Sandbox::new();
    let run = sandbox.follow(&fs::read_to_string(repository().join("docs/RUNNING.md")).unwrap());
    // Lest a heading or a fence make all of them vanish.
    assert!(run.len() >= 30, "{run:?}");
}

#[test]
fn the_commands_of_the_first_page_are_right() {
    let (Some(ipfs), Some(_)) = (require("ipfs"), require("curl")) else { return };
    let mut sandbox = Sandbox::new();
    sandbox.add_roadstead();
    sandbox.add("ipfs", &ipfs);
    let run = sandbox.follow(&fs::read_to_string(repository().join("README.md")).unwrap());
    let output_of = |beginning: &str| {
        let found = run.iter().find(|(command, _)| command.starts_with(beginning));
        found.unwrap_or_else(|| panic!("no `{beginning}` in {run:?}")).1.trim().to_owned()
    };
    assert!(output_of("roadstead root").starts_with("bafy"), "{run:?}");
    assert_eq!(output_of("roadstead root"), output_of("ipfs add"));
}

#[test]
fn the_settings_that_pages_name_are_there() {
    let sections = ["federation", "gateway", "dnslink"];
    for page in ["FEDERATION.md", "DNSLINK.md"] {
        let text = fs::read_to_string(repository().join("docs").join(page)).unwrap();
        let quoted = text.split('`').skip(1).step_by(2).filter_map(|quoted| {
            let name = quoted.split(' ').next()?;
            let (section, key) = name.split_once('.')?;
            let is_key = key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            (sections.contains(&section) && is_key).then_some(name)
        });
        let named: Vec<&str> = quoted.collect();
        assert!(named.len() >= 5, "{page}: {named:?}");
        for name in named {
            let is_there = SETTINGS.iter().any(|setting| setting.name == name);
            assert!(is_there, "{page}: there is no setting `{name}`");
        }
    }
}

/// The blocks of a page in that language.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let begin = format!("```{language}\n");
    let blocks = page.split(&begin).skip(1);
    blocks.map(|rest| rest.split("\n```").next().unwrap_or(rest).to_owned()).collect()
}

#[test]
fn the_settings_and_recipes_of_accounts_are_right() {
    let mut settings = 0;
    for page in ["ACCOUNTS.md", "WORKLOADS.md"] {
        let text = fs::read_to_string(repository().join("docs").join(page)).unwrap();
        let folder = tempfile::TempDir::new().unwrap();
        for block in blocks(&text, "toml") {
            let file = folder.path().join("roadstead.toml");
            fs::write(&file, &block).unwrap();
            let sources = Sources { file: Some(file), ..Sources::default() };
            let loaded =
                Settings::load(&sources).unwrap_or_else(|error| panic!("{block}: {error}"));
            for rule in &loaded.auth.workloads {
                assert_eq!(rule.warnings(), Vec::<String>::new(), "{block}");
            }
            settings += 1;
        }
        for block in blocks(&text, "yaml") {
            serde_saphyr::from_str::<serde_json::Value>(&block)
                .unwrap_or_else(|error| panic!("{block}: {error}"));
        }
        for word in text.split(|it: char| !it.is_ascii_alphanumeric() && it != '_') {
            let Some(name) = word.strip_prefix("ROADSTEAD_") else { continue };
            let name = name.to_lowercase().replace("__", ".");
            let name = name.strip_suffix("_file").unwrap_or(&name);
            let is_there = SETTINGS.iter().any(|setting| setting.name == name);
            assert!(is_there || name == "registry", "{page}: there is no setting `{name}`");
        }
    }
    assert!(settings >= 4, "{settings}");
}
