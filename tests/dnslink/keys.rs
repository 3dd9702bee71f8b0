//! IPNS keys: a record that a real node signs, and domains that lead to keys.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use cid::Cid;
use jiff::Timestamp;
use roadstead::dnslink::ipns::{self, IpnsError};
use roadstead::dnslink::{
    DnslinkError, DnslinkErrorKind, Hint, KeyResolver, Link, Resolver, Result, Step, parse_key,
};
use roadstead::oci::RootName;

use super::server::{Manner, Server};
use super::{A, B, domain, root, settings, shown};
use crate::common::KuboNode;

/// Fetches records from a gateway.
struct Fetching {
    gateway: String,
    count: AtomicUsize,
}

#[async_trait]
impl KeyResolver for Fetching {
    async fn resolve(&self, key: &Cid, _hints: &[Hint]) -> Result<(Link, Duration)> {
        self.count.fetch_add(1, Ordering::SeqCst);
        let record = fetch(&self.gateway, key).await;
        let record = ipns::verify(key, &record, Timestamp::now()).map_err(|error| {
            DnslinkError::wrap(DnslinkErrorKind::Invalid, key.to_string(), error)
        })?;
        Ok((record.value, record.ttl))
    }
}

async fn fetch(gateway: &str, key: &Cid) -> Vec<u8> {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("{gateway}/ipns/{key}?format=ipns-record");
    let response = client.get(url).send().await.unwrap().error_for_status().unwrap();
    assert_eq!(response.headers()["content-type"], "application/vnd.ipfs.ipns-record");
    response.bytes().await.unwrap().to_vec()
}

/// A node that keeps records without anybody to give them to.
fn node() -> Option<KuboNode> {
    let routing = r#"{"Type": "dhtclient", "DelegatedRouters": []}"#;
    KuboNode::plan().set("Routing", routing).start()
}

fn publish(node: &KuboNode, key: &str, path: &str) {
    node.publish_name(key, path, &["--ttl=7m"]);
}

fn generate(node: &KuboNode, name: &str, kind: &str) -> Cid {
    parse_key(&node.ipfs(["key", "gen", "--type", kind, name])).unwrap()
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(work)
}

#[test]
fn the_record_that_a_node_signs_is_good_for_its_key_alone() {
    let Some(node) = node() else { return };
    let key = generate(&node, "one", "ed25519");
    let other = generate(&node, "other", "ed25519");
    publish(&node, "one", &format!("/ipfs/{A}/sub"));
    let first = block_on(fetch(&node.gateway(), &key));
    let record = ipns::verify(&key, &first, Timestamp::now()).unwrap();
    assert_eq!(record.value, format!("/ipfs/{A}/sub").parse().unwrap());
    assert_eq!(record.ttl, Duration::from_mins(7));
    assert!(record.good_until > Timestamp::now());
    assert_eq!(ipns::verify(&key, &first, Timestamp::MAX), Err(IpnsError::Expired));
    assert_eq!(ipns::verify(&other, &first, Timestamp::now()), Err(IpnsError::Signature));
    for position in 0..first.len() {
        let mut changed = first.clone();
        changed[position] ^= 1;
        let read = ipns::verify(&key, &changed, Timestamp::now());
        // The old signature, which counts for nothing, is the only thing that may be changed.
        assert!(read.is_err() || read.as_ref() == Ok(&record), "byte {position}: {read:?}");
    }

    publish(&node, "one", &format!("/ipfs/{B}"));
    let second = block_on(fetch(&node.gateway(), &key));
    let second = ipns::verify(&key, &second, Timestamp::now()).unwrap();
    assert_eq!(second.value, format!("/ipfs/{B}").parse().unwrap());
    assert!(second.sequence > record.sequence);

    let rsa = generate(&node, "old", "rsa");
    publish(&node, "old", &format!("/ipfs/{A}"));
    let record = block_on(fetch(&node.gateway(), &rsa));
    assert_eq!(ipns::verify(&rsa, &record, Timestamp::now()), Err(IpnsError::Key));
}

#[test]
fn a_domain_may_lead_to_a_key_and_a_key_to_a_domain() {
    let Some(node) = node() else { return };
    let key = generate(&node, "one", "ed25519");
    publish(&node, "one", "/ipns/other.test/from-key");
    let keys = Arc::new(Fetching { gateway: node.gateway(), count: AtomicUsize::new(0) });
    block_on(async {
        let link = format!("dnslink=/ipns/{key}/from-domain");
        let server = Server::start(Manner::Texts(vec![link], 3600)).await;
        let resolver =
            Resolver::open(&settings(&server.address())).unwrap().with_keys(keys.clone());
        // Every domain leads to the key here, so the second one closes a circle.
        let error = resolver.resolve(&domain("names.test")).await.unwrap_err();
        assert_eq!(error.kind, DnslinkErrorKind::Loop);

        server.change(Manner::Texts(vec![format!("dnslink=/ipfs/{A}/x")], 3600));
        let answer = resolver.resolve(&RootName::Ipns(key)).await.unwrap();
        assert_eq!(shown(&answer), format!("{A}/x/from-key"));
        assert_eq!(answer.resolved.ttl, Duration::from_mins(7), "the least on the way");
        let before = keys.count.load(Ordering::SeqCst);
        resolver.resolve(&RootName::Ipns(key)).await.unwrap();
        assert_eq!(keys.count.load(Ordering::SeqCst), before, "it is kept");
        let trace = resolver.trace(&RootName::Ipns(key)).await;
        let Step::Key { name, value, .. } = &trace.steps[0] else { panic!("{:?}", trace.steps) };
        assert!(name.starts_with("k51"));
        assert_eq!(value.as_deref(), Some("/ipns/other.test/from-key"));
    });
}

#[tokio::test]
async fn without_a_source_of_records_a_key_cannot_be_resolved() {
    let key = parse_key("12D3KooWEqnTdgqHnkkwarSrJjeMP2ZJiADWLYADaNvUb6SQNyPF").unwrap();
    let server = Server::with_root(A).await;
    let resolver = Resolver::open(&settings(&server.address())).unwrap();
    let error = resolver.resolve(&RootName::Ipns(key)).await.unwrap_err();
    assert_eq!(error.kind, DnslinkErrorKind::Unavailable);
    let cid = RootName::Cid(B.parse().unwrap());
    assert_eq!(shown(&resolver.resolve(&cid).await.unwrap()), B, "a CID is its own root");
    assert_eq!(root(&resolver, "names.test").await, A);
}
