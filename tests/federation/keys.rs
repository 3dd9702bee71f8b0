//! Roots by IPNS keys, whose records come from nodes and gateways, good and bad ones.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::common::http::Response;
use crate::common::repository::{Repository, assert_refused, wait};
use crate::common::{KuboNode, Server, roadstead, succeed};
use crate::federation::answering::Answering;
use crate::federation::operators::{DOMAIN, Operators};

/// A node that keeps records without anybody to give them to.
fn node() -> Option<KuboNode> {
    let routing = r#"{"Type": "dhtclient", "DelegatedRouters": []}"#;
    KuboNode::plan().set("Routing", routing).start()
}

/// Makes a key, and returns its name.
fn generate(node: &KuboNode, name: &str) -> String {
    node.ipfs(["key", "gen", name]).trim().to_owned()
}

/// Has a key lead to a path.
fn lead(node: &KuboNode, key: &str, path: &str, lifetime: &str) {
    node.publish_name(key, path, &[&format!("--lifetime={lifetime}"), "--ttl=1s"]);
}

/// The record of a key, as the node keeps it.
fn record(node: &KuboNode, key: &str) -> Vec<u8> {
    let response = ask_for_record(node, key);
    assert_eq!(response.status, 200, "{}", response.text());
    response.body
}

fn ask_for_record(node: &KuboNode, key: &str) -> Response {
    crate::common::http::get(&format!("{}/ipns/{key}?format=ipns-record", node.gateway()))
}

/// A record of a key that was good a moment ago.
fn expired_record(node: &KuboNode, name: &str, key: &str, path: &str) -> Vec<u8> {
    // The node has to sign it and to tell it as long as it is good.
    for seconds in [1, 4, 16] {
        lead(node, name, path, &format!("{seconds}s"));
        let response = ask_for_record(node, key);
        if response.status == 200 {
            thread::sleep(Duration::from_millis(seconds * 1000 + 100));
            return response.body;
        }
    }
    panic!("the node does not tell the record of {key}");
}

/// A registry that asks these gateways, and this node if there is one.
fn asking(operators: &Operators, gateways: &[&str], api: &str) -> Server {
    let (servers, gateways, api) = (operators.dns.address(), gateways.join(","), api.to_owned());
    Server::start_with(move |command| {
        command
            .env("ROADSTEAD_DNSLINK__SERVERS", &servers)
            .env("ROADSTEAD_DNSLINK__TTL_FLOOR", "1s")
            .env("ROADSTEAD_DNSLINK__ALLOW_PRIVATE_ADDRESSES", "true")
            .env("ROADSTEAD_FEDERATION__GATEWAYS", &gateways)
            .env("ROADSTEAD_FEDERATION__KUBO__API", &api);
    })
}

#[test]
fn an_image_is_pulled_by_a_key_whose_record_a_node_or_a_gateway_has() {
    let Some(operators) = Operators::start() else { return };
    let Some(node) = node() else { return };
    let pushed = operators.own("team/app").push_image("v1", "word");
    let key = generate(&node, "one");
    lead(&node, "one", &format!("/ipfs/{}", operators.root()), "24h");
    let content = operators.publisher.url("");
    let named = node.gateway().replace("127.0.0.1", "localhost");
    // By a name of its own, and by a domain that leads to the key.
    operators.publish_as(&format!("dnslink=/ipns/{key}"), &operators.hint());
    for (gateways, api) in [
        (vec![content.as_str()], node.api()),
        (vec![content.as_str(), &node.gateway()], "none".to_owned()),
        // By this name the node redirects to a name below it.
        (vec![content.as_str(), &named], "none".to_owned()),
    ] {
        let mut resolve = roadstead(["resolve", &key]);
        resolve
            .env("ROADSTEAD_FEDERATION__GATEWAYS", gateways.join(","))
            .env("ROADSTEAD_FEDERATION__KUBO__API", &api);
        let output = succeed(&mut resolve);
        assert!(output.contains(&format!("queried     the owner of {key}, TTL 1 s\n")), "{output}");
        assert!(output.contains("repository  team/app"), "{output}");
        let other = asking(&operators, &gateways, &api);
        let base32 = cid::Cid::try_from(&*key).unwrap().to_string();
        for name in [&*key, &*base32, DOMAIN].map(|root| format!("{root}/team/app")) {
            let foreign = Repository::of(&other, &name);
            for reference in ["v1", &pushed.digest] {
                let found = foreign.get(&format!("manifests/{reference}"));
                assert_eq!(found.body, pushed.manifest, "{name}: {}", found.text());
            }
            let blob = format!("blobs/{}", crate::common::content::sha256(&pushed.layer));
            assert_eq!(foreign.get(&blob).body, pushed.layer);
        }
    }
}

#[test]
fn a_key_follows_its_owner_and_never_goes_back() {
    let Some(operators) = Operators::start() else { return };
    let Some(node) = node() else { return };
    let key = generate(&node, "one");
    operators.own("team/app").push_image("v1", "word");
    let root = operators.root();
    lead(&node, "one", &format!("/ipfs/{root}"), "24h");
    let older = record(&node, &key);
    // A root that somebody has asked for is served for a while after it was replaced.
    let url = operators.publisher.url(&format!("/ipfs/{root}?format=raw"));
    assert_eq!(crate::common::http::get(&url).status, 200);
    operators.own("team/app").push_image("v2", "other");
    lead(&node, "one", &format!("/ipfs/{}", operators.root()), "24h");
    let newer = record(&node, &key);
    assert_ne!(older, newer);

    let (current, count) = (Arc::new(Mutex::new(older.clone())), Arc::new(AtomicUsize::new(0)));
    let (answers, counting) = (Arc::clone(&current), Arc::clone(&count));
    let gateway = Answering::start(move |path| {
        path.starts_with("/ipns/").then(|| {
            counting.fetch_add(1, Ordering::SeqCst);
            answers.lock().unwrap().clone()
        })
    });
    let other = asking(&operators, &[&gateway.url(), &operators.publisher.url("")], "none");
    let foreign = Repository::of(&other, &format!("{key}/team/app"));
    let tags = || foreign.get("tags/list").json()["tags"].clone();
    assert_eq!(tags(), serde_json::json!(["v1"]));
    *current.lock().unwrap() = newer;
    wait(|| tags() == serde_json::json!(["v1", "v2"]), "it does not follow");
    for answer in [older, b"nonsense".to_vec(), Vec::new()] {
        *current.lock().unwrap() = answer;
        let before = count.load(Ordering::SeqCst);
        let is_requested_again = || {
            assert_eq!(tags(), serde_json::json!(["v1", "v2"]));
            count.load(Ordering::SeqCst) > before + 1
        };
        wait(is_requested_again, "it is not asked for again");
    }
}

#[test]
fn records_that_are_forged_or_expired_or_endless_lead_nowhere() {
    let Some(operators) = Operators::start() else { return };
    let Some(node) = node() else { return };
    operators.own("team/app").push_image("v1", "word");
    let root = format!("/ipfs/{}", operators.root());
    let spoilt = |what: &str| {
        // Of each a key, since whoever has asked for one does not ask again at once.
        let key = generate(&node, what);
        let expired = (what == "expired").then(|| expired_record(&node, what, &key, &root));
        lead(&node, what, &root, "24h");
        let good = record(&node, &key);
        let answer = match what {
            "expired" => expired.unwrap(),
            "forged" => {
                let mut forged = good;
                // Somewhere in the signed data, which come last.
                let position = forged.len() - 20;
                forged[position] ^= 1;
                forged
            }
            "another" => {
                let other = generate(&node, "other");
                lead(&node, "other", &root, "24h");
                record(&node, &other)
            }
            "endless" => [good, vec![0; 1 << 20]].concat(),
            "cut" => good[..good.len() / 2].to_vec(),
            _ => Vec::new(),
        };
        (what.to_owned(), key, answer)
    };
    let rows = ["expired", "forged", "another", "endless", "cut", "empty"].map(spoilt);
    let answers = rows.clone();
    let gateway = Answering::start(move |path| {
        let is_requested = |key: &str| path.starts_with(&format!("/ipns/{key}"));
        answers.iter().find(|(_, key, _)| is_requested(key)).map(|(.., answer)| answer.clone())
    });
    let content = operators.publisher.url("");
    let alone = asking(&operators, &[&gateway.url(), &content], "none");
    // Beside a good one it does no harm.
    let beside = asking(&operators, &[&gateway.url(), &content, &node.gateway()], "none");
    for (what, key, _) in rows {
        let name = format!("{key}/team/app");
        let refused = Repository::of(&alone, &name).get("manifests/v1");
        assert_eq!(refused.status, 502, "{what}: {}", refused.text());
        assert_refused(&refused, 502, "UNAVAILABLE");
        let found = Repository::of(&beside, &name).get("manifests/v1");
        assert_eq!(found.status, 200, "{what}: {}", found.text());
    }
}

#[test]
fn a_key_without_a_record_is_not_found() {
    let Some(operators) = Operators::start() else { return };
    let Some(node) = node() else { return };
    let key = generate(&node, "one");
    let name = format!("{key}/team/app");
    let by_node = asking(&operators, &[], &node.api());
    assert_refused(&Repository::of(&by_node, &name).get("manifests/v1"), 404, "NAME_UNKNOWN");
    let without_source = asking(&operators, &[], "none");
    assert_refused(&Repository::of(&without_source, &name).get("manifests/v1"), 504, "UNAVAILABLE");
    let gone = crate::common::free_address();
    let by_the_dead = asking(&operators, &[], &format!("http://{gone}"));
    assert_refused(&Repository::of(&by_the_dead, &name).get("manifests/v1"), 504, "UNAVAILABLE");
}
