//! `/ipns/<key>`: records of keys that were resolved here, as the assertions of gateway-conformance about IPNS
//! records have it.

use std::collections::BTreeMap;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use cid::Cid;
use cid::multibase::Base;
use cid::multihash::Multihash;
use ipld_core::ipld::Ipld;
use jiff::Timestamp;
use reqwest::Method;
use reqwest::header::{ACCEPT, CACHE_CONTROL, IF_NONE_MATCH};
use roadstead::dnslink::{ipns, peer_id};

use crate::common::http::{self, Response};
use crate::common::repository::Repository;
use crate::common::{Server, free_address};
use crate::federation::answering::Answering;

const RECORD: &str = "application/vnd.ipfs.ipns-record";
const ROOT: &str = "/ipfs/bafybeiaysi4s6lnjev27ln5icwm6tueaw2vdykrtjkwiphwekaywqhcjze";

/// The owner of a key.
struct Owner(Ed25519KeyPair);

impl Owner {
    fn new() -> Self {
        Self(Ed25519KeyPair::generate().expect("a key can be made"))
    }

    fn key(&self) -> Cid {
        let key = [&[8, 1, 18, 32], self.0.public_key().as_ref()].concat();
        Cid::new_v1(0x72, Multihash::wrap(0, &key).expect("36 bytes fit"))
    }

    fn name(&self) -> String {
        self.key().to_string_of_base(Base::Base36Lower).expect("a CID can be written")
    }

    /// A record (version 2) that is good for so many seconds.
    fn record(&self, seconds: i64, ttl_seconds: i128) -> Vec<u8> {
        let until = Timestamp::from_second(Timestamp::now().as_second() + seconds).expect("a time");
        let document = BTreeMap::from([
            ("Value".to_owned(), Ipld::Bytes(ROOT.into())),
            ("Validity".to_owned(), Ipld::Bytes(until.to_string().into_bytes())),
            ("ValidityType".to_owned(), Ipld::Integer(0)),
            ("Sequence".to_owned(), Ipld::Integer(1)),
            ("TTL".to_owned(), Ipld::Integer(ttl_seconds * 1_000_000_000)),
        ]);
        let data = serde_ipld_dagcbor::to_vec(&document).expect("CBOR");
        let signature = self.0.sign(&[b"ipns-signature:", &data[..]].concat());
        let mut record = Vec::new();
        for (field, bytes) in [(8, signature.as_ref()), (9, &data)] {
            let length = bytes.len();
            record.push(field << 3 | 2_u8);
            let length = [length % 128 + 128, length / 128];
            record.extend(length.map(|part| u8::try_from(part).expect("it is short")));
            record.extend(bytes);
        }
        record
    }
}

/// A registry that learns records of a gateway, and has been asked for a repository below each key.
fn resolving(records: Vec<(String, Vec<u8>)>) -> Server {
    let names: Vec<String> = records.iter().map(|(name, _)| name.clone()).collect();
    let gateway = Answering::start(move |path| {
        let found = records.iter().find(|(name, _)| path.starts_with(&format!("/ipns/{name}?")));
        found.map(|(_, record)| record.clone())
    });
    // Of what is below the root it has nothing.
    let (gateway, resolver) = (gateway.url(), free_address());
    let server = Server::start_with(move |command| {
        command
            .env("ROADSTEAD_DNSLINK__SERVERS", &resolver)
            .env("ROADSTEAD_FEDERATION__KUBO__API", "none")
            .env("ROADSTEAD_FEDERATION__GATEWAYS", &gateway);
    });
    for name in names {
        let answer = Repository::of(&server, &format!("{name}/team/app")).get("manifests/v1");
        assert!(answer.status >= 500, "{}: {}", answer.status, answer.text());
    }
    server
}

fn ask(server: &Server, method: &Method, path: &str, accept: &str) -> Response {
    let url = server.url(&format!("/ipns/{path}"));
    http::send(|client| client.request(method.clone(), url).header(ACCEPT, accept))
}

fn max_age(answer: &Response) -> i64 {
    let age = answer.header("cache-control").strip_prefix("public, max-age=");
    age.and_then(|age| age.parse().ok()).expect("it says how long it may be cached")
}

#[test]
fn the_record_of_a_key_that_was_resolved_is_passed_on_as_its_owner_signed_it() {
    let (owner, short) = (Owner::new(), Owner::new());
    let record = owner.record(86_400, 1800);
    let server =
        resolving(vec![(owner.name(), record.clone()), (short.name(), short.record(600, 1800))]);
    let (name, key) = (owner.name(), owner.key());
    for (path, accept) in [
        (format!("{name}?format=ipns-record"), "*/*"),
        (format!("{name}?format=IPNS-Record"), "text/html"),
        (name.clone(), RECORD),
        (name.clone(), "text/html, Application/vnd.ipfs.ipns-record;q=0.1"),
        // The other ways to write a key.
        (format!("{}?format=ipns-record", peer_id(&key)), "*/*"),
        (format!("{key}/?format=ipns-record"), "*/*"),
    ] {
        let answer = ask(&server, &Method::GET, &path, accept);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert_eq!(answer.header("content-type"), RECORD);
        assert_eq!(max_age(&answer), 1800);
        assert!(answer.header("content-disposition").starts_with("attachment; filename=\""));
        assert!(answer.header("content-disposition").ends_with(".ipns-record\""));
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        assert_eq!(answer.body, record, "not a byte is another one");
        let verified = ipns::verify(&key, &answer.body, Timestamp::now()).expect("a good record");
        assert_eq!(verified.value, ROOT.parse().expect("a link"));

        let head = ask(&server, &Method::HEAD, &path, accept);
        assert_eq!((head.status, head.body.len()), (200, 0));
        assert_eq!(head.header("content-length"), record.len().to_string());
        let tag = answer.header("etag");
        for known in [tag, &format!("W/{tag}"), &format!("\"x\", {tag}"), "*"] {
            let url = server.url(&format!("/ipns/{path}"));
            let again = http::send(|client| {
                client.get(&url).header(ACCEPT, accept).header(IF_NONE_MATCH, known)
            });
            assert_eq!((again.status, again.body.len()), (304, 0), "{known}");
        }
    }
    let named = ask(
        &server,
        &Method::GET,
        &format!("{name}?format=ipns-record&filename=test%D1%82.ipns-record"),
        "*/*",
    );
    let expected =
        "attachment; filename=\"test_.ipns-record\"; filename*=UTF-8''test%D1%82.ipns-record";
    assert_eq!(named.header("content-disposition"), expected);
    // No cache keeps a record for longer than it is good.
    let short = ask(&server, &Method::GET, &format!("{}?format=ipns-record", short.name()), "*/*");
    assert!((1..=600).contains(&max_age(&short)), "{}", max_age(&short));
}

#[test]
fn what_is_no_record_or_was_not_resolved_is_not_there() {
    let owner = Owner::new();
    let server = resolving(vec![(owner.name(), owner.record(86_400, 60))]);
    let (name, other) = (owner.name(), Owner::new().name());
    for (path, accept, status) in [
        (format!("{other}?format=ipns-record"), "*/*", 404),
        ("example.com?format=ipns-record".to_owned(), "*/*", 400),
        ("bafkqaaa?format=ipns-record".to_owned(), "*/*", 400),
        (format!("{name}/below?format=ipns-record"), "*/*", 400),
        (format!("{name}?format=car"), RECORD, 406),
        (format!("{name}?format=raw"), "*/*", 406),
        (name.clone(), "*/*", 406),
        (name.clone(), "application/vnd.ipfs.ipns-record;q=0", 406),
    ] {
        let answer = ask(&server, &Method::GET, &path, accept);
        assert_eq!(answer.status, status, "{path} {accept}: {}", answer.text());
        assert_eq!(answer.header("access-control-allow-origin"), "*");
    }
    let url = server.url(&format!("/ipns/{other}?format=ipns-record"));
    let cached = http::send(|client| client.get(&url).header(CACHE_CONTROL, "only-if-cached"));
    assert_eq!(cached.status, 412);
}
