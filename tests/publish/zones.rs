//! Zones that have more than the records of a root: wildcards and aliases, and TTLs that change (cases B1 and B11 of
//! faults.md).

use std::fs;
use std::process::Command;
use std::sync::{Arc, Mutex};

use tempfile::TempDir;

use crate::common::bind::{Bind, KEY};
use crate::common::repository::wait;
use crate::common::{run, succeed};
use crate::publish::publisher::{DOMAIN, NAME, Publisher, wait_long};

#[test]
fn in_a_zone_with_a_wildcard_it_is_published_and_dry_run_says_so() {
    for wildcard in ["* CNAME @", "* TXT \"v=spf1 -all\""] {
        let Some(dns) = Bind::start(&[(DOMAIN, wildcard)]) else { return };
        let publisher = Publisher::start_on(dns, |_| {});
        let planned = run(&mut publisher.command(["publish", "--dry-run"]));
        assert_eq!(planned.code, Some(0), "{wildcard}: {planned}");
        publisher.repository().push_image("v1", "one");
        publisher.wait_until_published();
        publisher.repository().push_image("v1", "two");
        publisher.wait_until_published();
        let links = publisher.links();
        assert_eq!(publisher.texts().len(), 2, "{wildcard}: a link and a hint: {links:?}");
    }
}

#[test]
fn where_an_alias_stands_it_is_not_published_and_dry_run_says_so() {
    let Some(dns) = Bind::start(&[(DOMAIN, "_dnslink CNAME @")]) else { return };
    let publisher = Publisher::start_on(dns, |_| {});
    let planned = run(publisher.command(["publish", "--dry-run"]).arg("--json"));
    assert_eq!(planned.code, Some(1), "{planned}");
    let planned: serde_json::Value = serde_json::from_str(&planned.stdout).unwrap();
    assert_eq!(planned["servers"][0]["alias"], format!("{DOMAIN}."));
    assert!(planned["conflict"].as_str().unwrap().contains("is an alias of"), "{planned}");
    publisher.repository().push_image("v1", "one");
    let is_reported = || publisher.failure().contains("is an alias of");
    wait_long(is_reported, "nobody is told of the alias");
    // Once it is gone, the next try publishes.
    publisher.dns.update(DOMAIN, &format!("update delete {NAME} CNAME"));
    succeed(&mut publisher.command(["publish", "--wait"]));
    publisher.wait_until_published();
}

/// Has a registry publish to a name server by the program of the examples, with what `configure` adds.
fn by_a_program(
    dns: Bind,
    configure: impl Fn(&mut Command) + Send + Sync + 'static,
) -> (Publisher, TempDir) {
    let folder = TempDir::new().expect("a temporary folder can be made");
    let [name, algorithm, secret] = KEY;
    let key = folder.path().join("key");
    let text = format!("key \"{name}\" {{ algorithm {algorithm}; secret \"{secret}\"; }};\n");
    fs::write(&key, text).expect("the folder is ours");
    let servers = dns.address();
    let (host, port) = servers.split_once(':').expect("it has a port");
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/publish-by-nsupdate");
    let command = [program, host, port, &key.display().to_string()].join(",");
    let servers = servers.clone();
    let publisher = Publisher::start_on(dns, move |server| {
        server
            .env("ROADSTEAD_PUBLISH__PROVIDER", "exec")
            .env("ROADSTEAD_PUBLISH__SERVERS", &servers)
            .env("ROADSTEAD_PUBLISH__EXEC__COMMAND", &command);
        configure(server);
    });
    (publisher, folder)
}

#[test]
fn a_program_is_started_where_a_wildcard_makes_an_alias() {
    for wildcard in ["* CNAME @", "* TXT \"v=spf1 -all\""] {
        let Some(dns) = Bind::start(&[(DOMAIN, wildcard)]) else { return };
        let (publisher, _folder) = by_a_program(dns, |_| {});
        publisher.repository().push_image("v1", "one");
        publisher.wait_until_published();
    }
}

#[test]
fn another_ttl_and_another_hint_are_written_at_the_next_start() {
    let ttls = |publisher: &Publisher| -> Vec<String> {
        let output = publisher.dns.dig(["+noall", "+answer", "TXT", NAME]);
        output
            .lines()
            .filter_map(|line| line.split_whitespace().nth(1))
            .map(str::to_owned)
            .collect()
    };
    for is_program in [false, true] {
        let Some(dns) = Bind::start(&[(DOMAIN, "")]) else { return };
        let settings = Arc::new(Mutex::new(("60s", "/dns4/a.test/tcp/443/https")));
        let given = Arc::clone(&settings);
        let configure = move |command: &mut Command| {
            let (ttl, hint) = *given.lock().unwrap();
            command.env("ROADSTEAD_PUBLISH__TTL", ttl).env("ROADSTEAD_PUBLISH__HINT", hint);
        };
        let (mut publisher, _folder) = if is_program {
            let (publisher, folder) = by_a_program(dns, configure);
            (publisher, Some(folder))
        } else {
            (Publisher::start_on(dns, configure), None)
        };
        publisher.repository().push_image("v1", "one");
        let root = publisher.wait_until_published();
        assert_eq!(ttls(&publisher), ["60", "60"]);
        for (ttl, seconds, host) in [("10s", "10", "a"), ("90s", "90", "a"), ("90s", "90", "b")] {
            let hint = if host == "a" {
                "/dns4/a.test/tcp/443/https"
            } else {
                "/dns4/b.test/tcp/443/https"
            };
            *settings.lock().unwrap() = (ttl, hint);
            publisher.server.stop();
            publisher.server.start_again();
            let is_written = || {
                ttls(&publisher) == [seconds, seconds]
                    && publisher.texts().contains(&format!("ipfsnode={hint}"))
            };
            wait(is_written, "another setting is not written");
            assert_eq!(publisher.wait_until_published(), root);
        }
        // Where nothing is different, nothing is written.
        let before = publisher.dns.serial(DOMAIN);
        publisher.server.stop();
        publisher.server.start_again();
        wait(|| publisher.status()["publishing"] == "ok", "it is not looked at");
        assert_eq!(publisher.dns.serial(DOMAIN), before);
    }
}
