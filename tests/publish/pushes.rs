//! What is pushed is published.

use crate::common::repository::wait;
use crate::common::{Bind, http, roadstead, run};
use crate::publish::publisher::{DOMAIN, NAME, Publisher};

#[test]
fn a_push_becomes_a_record_by_which_others_find_the_root() {
    let Some(publisher) = Publisher::start() else { return };
    publisher.repository().push_image("v1", "one");
    let root = publisher.wait_until_published();
    let expected =
        [format!("dnslink=/ipfs/{root}"), "ipfsnode=/ip4/127.0.0.1/tcp/5000/http".to_owned()];
    assert_eq!(publisher.texts(), expected);
    let mut resolve = roadstead(["resolve", DOMAIN, "--json"]);
    resolve.env("ROADSTEAD_DNSLINK__SERVERS", publisher.dns.address());
    // The hint leads to an address that is not dialled, so the exit code is 1.
    let resolved = run(&mut resolve);
    assert_eq!(resolved.code, Some(1), "{resolved}");
    let found: serde_json::Value = serde_json::from_str(&resolved.stdout).unwrap();
    assert_eq!(found["root"], *root);

    publisher.repository().push_image("v2", "two");
    let next = publisher.wait_until_published();
    assert_ne!(next, root);
}

#[test]
fn the_key_needs_no_more_rights_than_the_documentation_says() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/PUBLISHING.md");
    let page = std::fs::read_to_string(page).unwrap().replace("example.com", DOMAIN);
    let grant = page.split_once("{ grant roadstead ").unwrap().1.split_once(';').unwrap().0;
    let Some(dns) = Bind::start_granting(&[(DOMAIN, "")], grant) else { return };
    let publisher = Publisher::start_on(dns, |_| {});
    for word in ["one", "two"] {
        publisher.repository().push_image("v1", word);
        publisher.wait_until_published();
    }
    let refused = publisher.dns.try_update(DOMAIN, &format!("update add {DOMAIN} 1 TXT \"x\""));
    assert!(!refused.succeeded(), "{refused}");
}

#[test]
fn hints_that_are_given_are_published_as_they_are() {
    let Some(publisher) = Publisher::start_with(|command| {
        let hints = "/dns4/a.example.com/tcp/443/tls/http,/dns4/b.example.com/tcp/80/http";
        command.env("ROADSTEAD_PUBLISH__HINT", hints);
    }) else {
        return;
    };
    publisher.repository().push_image("v1", "one");
    publisher.wait_until_published();
    let expected = [
        "ipfsnode=/dns4/a.example.com/tcp/443/tls/http",
        "ipfsnode=/dns4/b.example.com/tcp/80/http",
    ];
    assert_eq!(publisher.texts()[1..], expected);
}

#[test]
fn an_empty_registry_publishes_nothing_and_one_that_was_emptied_does() {
    let Some(publisher) = Publisher::start() else { return };
    wait(|| publisher.status()["publishing"] == "ok", "an empty registry has nothing to do");
    assert_eq!(publisher.texts(), Vec::<String>::new());
    let pushed = publisher.repository().push_image("v1", "one");
    publisher.wait_until_published();
    let deleted = publisher.repository().delete(&format!("manifests/{}", pushed.digest));
    assert_eq!(deleted.status, 202);
    publisher.wait_until_published();
}

#[test]
fn many_pushes_are_few_updates() {
    let Some(publisher) = Publisher::start_with(|command| {
        command.env("ROADSTEAD_PUBLISH__DEBOUNCE", "2s");
    }) else {
        return;
    };
    let before = publisher.dns.serial(DOMAIN);
    for number in 0..40 {
        publisher.repository().push_image("latest", &format!("word {number}"));
    }
    publisher.wait_until_published();
    let updates = publisher.dns.serial(DOMAIN) - before;
    assert!((1..=4).contains(&updates), "{updates} updates for 40 pushes");
}

#[test]
fn records_of_others_at_the_same_name_stay() {
    let Some(publisher) = Publisher::start() else { return };
    publisher.dns.update(DOMAIN, &format!("update add {NAME} 1 TXT \"v=spf1 -all\""));
    for word in ["one", "two"] {
        publisher.repository().push_image("v1", word);
        publisher.wait_until_published();
        assert!(publisher.texts().contains(&"v=spf1 -all".to_owned()), "{:?}", publisher.texts());
        assert_eq!(publisher.texts().len(), 3);
    }
}

/// Starts one that keeps what was replaced so long, and by nothing else.
fn with_keep(keep: &'static str) -> Option<Publisher> {
    Publisher::start_with(move |command| {
        command.env("ROADSTEAD_PUBLISH__KEEP", keep).env("ROADSTEAD_GATEWAY__ROOT_GRACE", "1ms");
    })
}

fn serves(publisher: &Publisher, root: &str) -> bool {
    let path = format!("/ipfs/{root}/docker/registry/v2/repositories/team/app?format=car");
    let url = publisher.server.url(&path);
    // One that is released while it is read is cut off.
    http::try_send(|client| client.get(url)).is_ok_and(|answer| answer.status == 200)
}

#[test]
fn what_the_dns_names_or_named_a_moment_ago_is_served() {
    let Some(publisher) = with_keep("1h") else { return };
    let pushed = publisher.repository().push_image("v1", "one");
    let old = publisher.wait_until_published();
    publisher.dns.freeze();
    publisher.repository().push_image("v1", "two");
    let gone = publisher.repository().delete(&format!("manifests/{}", pushed.digest));
    assert_eq!(gone.status, 202);
    let new = publisher.root();
    assert_ne!(new, old);
    assert!(serves(&publisher, &old), "it is what the DNS names");
    assert!(serves(&publisher, &new));
    publisher.dns.thaw();
    publisher.wait_until_published();
    assert!(serves(&publisher, &old), "whoever resolved it a moment ago may still be reading");
}

#[test]
fn a_root_that_was_replaced_is_released_after_a_while() {
    let Some(publisher) = with_keep("1s") else { return };
    let pushed = publisher.repository().push_image("v1", "three");
    let old = publisher.wait_until_published();
    publisher.repository().push_image("v1", "four");
    let gone = publisher.repository().delete(&format!("manifests/{}", pushed.digest));
    assert_eq!(gone.status, 202);
    let new = publisher.wait_until_published();
    wait(|| !serves(&publisher, &old), "a root that was replaced is released");
    assert!(serves(&publisher, &new));
}
