//! A zone of several servers: a root is published once all that answer tell it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;
use tempfile::TempDir;

use crate::common::bind::{Bind, KEY};
use crate::common::succeed;
use crate::publish::publisher::{DOMAIN, NAME, Publisher, wait_long};

/// Makes the name hold what is wanted, whatever is there.
const OVERWRITING: &str = r#"#!/bin/sh
{
  echo "server $1 $2"
  echo "update delete $ROADSTEAD_PUBLISH_NAME TXT"
  printf '%s\n' "$ROADSTEAD_PUBLISH_WANTED" | sed "s/.*/update add $ROADSTEAD_PUBLISH_NAME 1 TXT \"&\"/"
  echo send
} | nsupdate -y "$3"
"#;

/// Brings the second server up to date, as a transfer of the zone would.
fn transfer(from: &Publisher, to: &Bind) {
    let texts = from.texts();
    let add = texts.iter().map(|text| format!("update add {NAME} 1 TXT \"{text}\"\n"));
    to.update(DOMAIN, &format!("update delete {NAME} TXT\n{}", add.collect::<String>()));
}

#[test]
fn a_program_that_overwrites_everything_is_run_only_where_no_foreign_record_exists() {
    let (Some(first), Some(second)) = (Bind::start(&[(DOMAIN, "")]), Bind::start(&[(DOMAIN, "")]))
    else {
        return;
    };
    let folder = TempDir::new().unwrap();
    let program = folder.path().join("publish");
    fs::write(&program, OVERWRITING).unwrap();
    fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    let (address, port) = (first.address(), first.address().replace("127.0.0.1:", ""));
    let key = format!("{}:{}:{}", KEY[1], KEY[0], KEY[2]);
    let command = format!("{},127.0.0.1,{port},{key}", program.display());
    // One of them is nowhere to be found.
    let servers = format!("{address},{},nowhere.invalid", second.address());
    let publisher = Publisher::start_on(first, move |settings| {
        settings
            .env("ROADSTEAD_PUBLISH__PROVIDER", "exec")
            .env("ROADSTEAD_PUBLISH__EXEC__COMMAND", &command)
            .env("ROADSTEAD_PUBLISH__SERVERS", &servers);
    });
    let state = || publisher.status()["publishing"].as_str().unwrap().to_owned();
    let is_done = || wait_long(|| state() == "ok", "the registry does not know it");
    let wait_for_link = |root: &str| {
        let link = format!("dnslink=/ipfs/{root}");
        wait_long(|| publisher.links() == [link.as_str()], "it is not written");
    };
    let known = || -> Value {
        let status = succeed(publisher.command(["status"]).arg("--json"));
        serde_json::from_str::<Value>(&status).unwrap()["publishing"]["root"].clone()
    };
    publisher.repository().push_image("v1", "one");
    let root = publisher.root();
    wait_for_link(&root);
    assert_eq!(known(), Value::Null, "the second server does not tell it yet");
    transfer(&publisher, &second);
    is_done();
    assert_eq!(known(), *root);

    let foreign = "dnslink=/ipns/example.net";
    second.update(DOMAIN, &format!("update add {NAME} 1 TXT \"{foreign}\""));
    publisher.repository().push_image("v1", "two");
    wait_long(|| publisher.failure().contains(foreign), "the registry does not say why");
    wait_for_link(&root);

    second.update(DOMAIN, &format!("update delete {NAME} TXT \"{foreign}\""));
    wait_for_link(&publisher.root());
    transfer(&publisher, &second);
    is_done();
}
