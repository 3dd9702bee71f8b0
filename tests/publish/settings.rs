//! Settings that change: each one takes effect at the next start, although the root is the same.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tempfile::TempDir;

use crate::common::bind::Bind;
use crate::common::{run, succeed};
use crate::publish::publisher::{DOMAIN, Publisher, wait_long};

const OTHER: &str = "other.test";

/// A registry that publishes, by settings that a test changes between two starts.
struct Changing {
    publisher: Publisher,
    settings: Arc<Mutex<Vec<(String, String)>>>,
}

impl Changing {
    fn start(dns: Bind, settings: &[(&str, &str)]) -> Self {
        let given = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&given);
        set(&given, settings);
        let publisher = Publisher::start_on(dns, move |command| {
            command.envs(seen.lock().expect("no holder panics").iter().cloned());
        });
        Self { publisher, settings: given }
    }

    /// Starts the registry again, with these settings in the place of those before.
    fn restart(&mut self, settings: &[(&str, &str)]) {
        self.publisher.server.stop();
        set(&self.settings, settings);
        self.publisher.server.start_again();
    }

    /// `roadstead status` by the settings as they are.
    fn status(&self) -> Value {
        self.status_by(&self.settings.lock().expect("no holder panics"))
    }

    /// Has the running server look whether its root is published, and waits until it has.
    fn publish(&self) {
        let mut command = self.publisher.command(["publish", "--wait"]);
        command.envs(self.settings.lock().expect("no holder panics").iter().cloned());
        succeed(&mut command);
    }

    fn status_by(&self, settings: &[(String, String)]) -> Value {
        let mut command = self.publisher.command(["status"]);
        command.envs(settings.iter().cloned());
        let status = run(command.arg("--json"));
        serde_json::from_str(&status.stdout).unwrap_or_else(|error| panic!("{error}: {status}"))
    }

    /// Waits until the registry knows that its root is published.
    fn wait(&self) {
        let is_done = || self.status()["publishing"]["pending"] == false;
        wait_long(is_done, "the registry does not know that it is published");
    }

    fn wait_for_failure(&self, text: &str) {
        let is_reported = || self.status()["publishing"]["failure"].to_string().contains(text);
        wait_long(is_reported, "the registry does not say why");
    }
}

fn set(target: &Mutex<Vec<(String, String)>>, settings: &[(&str, &str)]) {
    let name = |name: &str| format!("ROADSTEAD_PUBLISH__{name}");
    let settings = settings.iter().map(|(key, value)| (name(key), (*value).to_owned()));
    *target.lock().expect("no holder panics") = settings.collect();
}

fn links(dns: &Bind, domain: &str) -> Vec<String> {
    let texts = dns.texts(&format!("_dnslink.{domain}"));
    texts.into_iter().filter(|text| text.starts_with("dnslink=")).collect()
}

#[test]
fn another_domain_is_published_and_the_former_one_is_ours_when_it_comes_back() {
    let Some(dns) = Bind::start(&[(DOMAIN, ""), (OTHER, "")]) else { return };
    let mut changing = Changing::start(dns, &[("KEEP", "1s")]);
    changing.publisher.repository().push_image("v1", "one");
    changing.wait();
    let first = links(&changing.publisher.dns, DOMAIN);
    let elsewhere = [("DOMAIN", OTHER), ("KEEP", "1s")];
    changing.restart(&elsewhere);
    wait_long(|| links(&changing.publisher.dns, OTHER) == first, "it is not published");
    assert_eq!(links(&changing.publisher.dns, DOMAIN), first, "what was written there is left");
    changing.wait();
    // The root that the former domain names is served no longer.
    changing.publisher.repository().push_image("v1", "two");
    let is_released = || {
        let status = changing.status();
        status["publishing"]["pending"] == false && status["publishing"]["kept"][0].is_null()
    };
    wait_long(is_released, "the former root is kept");
    changing.restart(&[("KEEP", "1s")]);
    let second = links(&changing.publisher.dns, OTHER);
    wait_long(|| links(&changing.publisher.dns, DOMAIN) == second, "it is not published");
    assert_ne!(first, second);
}

#[test]
fn another_keep_is_that_of_roots_that_are_replaced_from_then_on() {
    let Some(dns) = Bind::start(&[(DOMAIN, "")]) else { return };
    let mut changing = Changing::start(dns, &[("KEEP", "1h")]);
    changing.publisher.repository().push_image("v1", "one");
    changing.wait();
    changing.publisher.repository().push_image("v1", "two");
    let retained = |changing: &Changing| changing.status()["publishing"]["kept"].clone();
    wait_long(|| retained(&changing)[0]["until"].is_string(), "no root was replaced");
    let before = retained(&changing);
    changing.restart(&[("KEEP", "1s")]);
    changing.publisher.repository().push_image("v1", "three");
    changing.wait();
    // It is said until when each is served.
    wait_long(|| retained(&changing) == before, "the second root is kept for as long as the first");
}

#[test]
fn another_key_and_another_server_are_tried_at_once() {
    let (Some(dns), Some(second)) = (Bind::start(&[(DOMAIN, "")]), Bind::start(&[(DOMAIN, "")]))
    else {
        return;
    };
    let mut changing = Changing::start(dns, &[]);
    changing.publisher.repository().push_image("v1", "one");
    changing.wait();
    let wrong = "YW5vdGhlci10ZXN0LW9ubHktbm90LWEtc2VjcmV0MDE=";
    changing.restart(&[("RFC2136__KEY_SECRET", wrong)]);
    changing.wait_for_failure("has another secret for the key");
    changing.restart(&[("RFC2136__KEY_NAME", "nobody")]);
    changing.wait_for_failure("does not know the key nobody");
    let address = second.address();
    changing.restart(&[("RFC2136__SERVER", &address)]);
    let expected = links(&changing.publisher.dns, DOMAIN);
    wait_long(|| links(&second, DOMAIN) == expected, "it is not written there");
    changing.wait();
    assert_eq!(changing.publisher.status()["publishing"], "ok");
}

#[test]
fn another_provider_writes_once() {
    let Some(dns) = Bind::start(&[(DOMAIN, "")]) else { return };
    let folder = TempDir::new().unwrap();
    let (program, runs) = (folder.path().join("publish"), folder.path().join("runs"));
    fs::write(&program, format!("#!/bin/sh\ncat >>{}\necho >>{0}\n", runs.display())).unwrap();
    fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    let count = || fs::read_to_string(&runs).map_or(0, |text| text.lines().count());
    let address = dns.address();
    let mut changing = Changing::start(dns, &[("SERVERS", &address)]);
    changing.publisher.repository().push_image("v1", "one");
    changing.wait();
    let program = program.display().to_string();
    let by_program = [("SERVERS", &*address), ("PROVIDER", "exec"), ("EXEC__COMMAND", &program)];
    changing.restart(&by_program);
    wait_long(|| count() == 1, "the program is not run");
    changing.wait();
    changing.restart(&by_program);
    changing.publish();
    assert_eq!(count(), 1, "nothing is different");
    let more = format!("{program},--verbose");
    changing.restart(&[by_program[0], by_program[1], ("EXEC__COMMAND", &more)]);
    wait_long(|| count() == 2, "the program is not run with another argument");
    changing.restart(&[("SERVERS", &address)]);
    changing.wait();
}

#[test]
fn a_setting_that_is_not_in_force_yet_is_pending() {
    let Some(dns) = Bind::start(&[(DOMAIN, "")]) else { return };
    let mut changing = Changing::start(dns, &[]);
    changing.publisher.repository().push_image("v1", "one");
    changing.wait();
    for (name, value) in [
        ("TTL", "10s"),
        ("HINT", "/dns4/b.test/tcp/443/https"),
        ("DOMAIN", OTHER),
        ("RFC2136__KEY_NAME", "another"),
    ] {
        let changed = [(format!("ROADSTEAD_PUBLISH__{name}"), value.to_owned())];
        let status = changing.status_by(&changed);
        assert_eq!(status["publishing"]["pending"], true, "{name}: {status}");
    }
    // A hint that is given twice is one, and one that is given no longer goes.
    let hint = "/dns4/b.test/tcp/443/https";
    changing.restart(&[("HINT", &format!("{hint},{hint}"))]);
    let hints = |changing: &Changing| -> Vec<String> {
        let texts = changing.publisher.texts().into_iter();
        texts.filter_map(|text| text.strip_prefix("ipfsnode=").map(str::to_owned)).collect()
    };
    wait_long(|| hints(&changing) == [hint], "the hint is not written");
    // One that is taken away from beside others.
    let both = format!("{hint},/dns4/c.test/tcp/443/https");
    changing.restart(&[("HINT", &both)]);
    wait_long(|| hints(&changing).len() == 2, "the other hint is not written");
    changing.wait();
    let fewer = [("ROADSTEAD_PUBLISH__HINT".to_owned(), hint.to_owned())];
    let status = changing.status_by(&fewer);
    assert_eq!(status["publishing"]["pending"], true, "{status}");
    changing.restart(&[]);
    let own = "/ip4/127.0.0.1/tcp/5000/http";
    wait_long(|| hints(&changing) == [own], "the hint stays");
}

#[test]
fn where_nothing_is_published_any_more_it_is_said_what_is_still_served() {
    let Some(dns) = Bind::start(&[(DOMAIN, "")]) else { return };
    let mut changing = Changing::start(dns, &[]);
    changing.publisher.repository().push_image("v1", "one");
    changing.wait();
    let root = changing.publisher.root();
    changing.restart(&[("DOMAIN", ""), ("PROVIDER", "")]);
    changing.publisher.repository().push_image("v1", "two");
    let status = changing.status();
    assert_eq!(status["publishing"], Value::Null);
    assert_eq!(status["formerly"], serde_json::json!({ "domain": DOMAIN, "root": root }));
    let text = succeed(&mut changing.publisher.server.command(["status"]));
    assert!(text.contains(&format!("{root}, published under {DOMAIN} before")), "{text}");
    let url = changing.publisher.server.url(&format!("/ipfs/{root}?format=raw"));
    assert_eq!(crate::common::http::get(&url).status, 200);
    // It goes on where it was.
    changing.restart(&[]);
    changing.wait();
}
