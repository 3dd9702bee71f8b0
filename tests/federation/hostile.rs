//! A publisher whose tree is sound and full of nonsense: names and links that mean to lead elsewhere.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use bytes::Bytes;
use cid::Cid;
use roadstead::ipld::{Block, Directory, Entry, file};

use crate::answering::Answering;
use crate::common::http;
use crate::content::{image, sha256};
use crate::operators::{DOMAIN, Operators};
use crate::repository::wait;

/// What stands below a root, by names that nobody looks at.
enum Node {
    File(Vec<u8>),
    Folder(BTreeMap<String, Node>),
}

impl Node {
    fn folder() -> Self {
        Self::Folder(BTreeMap::new())
    }

    /// Puts something where a path leads to, by names that are good.
    fn put(&mut self, path: &str, node: Node) {
        self.put_named(&path.split('/').collect::<Vec<_>>(), node);
    }

    fn put_named(&mut self, names: &[&str], node: Node) {
        let Self::Folder(entries) = self else { panic!("a file is on the way to {names:?}") };
        let (first, rest) = names.split_first().unwrap();
        if rest.is_empty() {
            entries.insert((*first).to_owned(), node);
        } else {
            entries.entry((*first).to_owned()).or_insert_with(Self::folder).put_named(rest, node);
        }
    }

    fn build(&self, blocks: &mut HashMap<Cid, Bytes>) -> (Cid, u64) {
        match self {
            Self::File(bytes) => {
                let bytes = Bytes::copy_from_slice(bytes);
                let built = file::build(&bytes, &mut |block: Block| {
                    blocks.insert(block.cid, block.bytes);
                });
                (built.cid, built.dag_size)
            }
            Self::Folder(entries) => {
                let mut directory = Directory::empty();
                for (name, node) in entries {
                    let (cid, size) = node.build(blocks);
                    let entry = Entry { name: name.clone(), cid, size };
                    directory.insert(entry, &mut |_: &Cid| Err::<Bytes, _>(fmt::Error)).unwrap();
                }
                directory.flush(
                    &mut |block| {
                        blocks.insert(block.cid, block.bytes);
                    },
                    &mut drop,
                )
            }
        }
    }
}

/// Publishes a tree, block by block.
fn publish(operators: &Operators, tree: &Node) -> Answering {
    let mut blocks = HashMap::new();
    let (root, _) = tree.build(&mut blocks);
    let gateway = Answering::start(move |path| {
        let asked = path.strip_prefix("/ipfs/")?;
        let (name, query) = asked.split_once('?')?;
        // An archive in no order that is known: blocks are asked for one by one then.
        if query.starts_with("format=car") {
            return Some(Vec::new());
        }
        blocks.get(&name.parse().ok()?).map(|bytes| bytes.to_vec())
    });
    operators.publish_as(&format!("dnslink=/ipfs/{root}"), &gateway.hint());
    gateway
}

const REPOSITORY: &str = "docker/registry/v2/repositories/team/app";

fn data(bytes: &[u8]) -> String {
    let hex = sha256(bytes).split_off(7);
    format!("docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2])
}

fn link(bytes: &[u8]) -> Node {
    Node::File(sha256(bytes).into_bytes())
}

/// A tree with an image at the tag `good`.
fn sound() -> (Node, Vec<u8>) {
    let mut tree = Node::folder();
    let manifest = image(b"{}", &[b"layer"]).to_string().into_bytes();
    for bytes in [b"{}", &b"layer"[..], &manifest] {
        tree.put(&data(bytes), Node::File(bytes.to_vec()));
    }
    tree.put(&format!("{REPOSITORY}/_manifests/tags/good/current/link"), link(&manifest));
    (tree, manifest)
}

/// The client is told in a sentence that it is not there, or that what came is no good.
fn assert_told(response: &http::Response, statuses: &[u16], what: &str) {
    assert!(statuses.contains(&response.status), "{what}: {} {}", response.status, response.text());
    let message = response.json()["errors"][0]["message"].as_str().unwrap().to_owned();
    assert!(message.split(' ').count() > 3, "{what}: {message}");
    assert!(message.len() < 1000, "{what}: {message}");
}

#[test]
fn a_link_that_holds_nonsense_leads_nowhere() {
    let Some(operators) = Operators::start() else { return };
    let (mut tree, manifest) = sound();
    let hex = sha256(&manifest).split_off(7);
    let texts: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", Vec::new()),
        ("above", b"..".to_vec()),
        ("nul", b"\0".to_vec()),
        ("path", b"sha256:../../../../../../etc/passwd".to_vec()),
        ("slashes", format!("sha256:{}", "/".repeat(64)).into_bytes()),
        ("capitals", format!("sha256:{}", hex.to_uppercase()).into_bytes()),
        ("short", format!("sha256:{}", &hex[1..]).into_bytes()),
        ("long", format!("sha256:{hex}{hex}").into_bytes()),
        ("other", format!("md5:{}", &hex[..32]).into_bytes()),
        ("twice", format!("sha256:{hex}\0sha256:{hex}").into_bytes()),
        ("control", b"\x1b[2J\x07\r\n".to_vec()),
        ("binary", vec![0xff; 71]),
        ("huge", vec![b'a'; 2000]),
        ("greater", vec![b'a'; 5_000_000]),
        ("absent", sha256(b"nobody has this").into_bytes()),
        ("itself", sha256(b"no manifest").into_bytes()),
    ];
    tree.put(&data(b"no manifest"), Node::File(b"no manifest".to_vec()));
    for (tag, text) in &texts {
        let place = format!("{REPOSITORY}/_manifests/tags/{tag}/current/link");
        tree.put(&place, Node::File(text.clone()));
    }
    let hexes = |number: u8| format!("{number:02x}").repeat(32);
    for (number, (_, text)) in (1..).zip(&texts) {
        for kind in ["_layers", "_manifests/revisions"] {
            let place = format!("{REPOSITORY}/{kind}/sha256/{}/link", hexes(number));
            tree.put(&place, Node::File(text.clone()));
        }
    }
    // Where a file belongs stands a directory, and the other way round.
    tree.put(&format!("{REPOSITORY}/_manifests/tags/folder/current/link"), Node::folder());
    tree.put(&format!("{REPOSITORY}/_manifests/tags/file"), Node::File(b"current".to_vec()));
    let _gateway = publish(&operators, &tree);
    let foreign = operators.foreign("team/app");
    wait(|| foreign.get("manifests/good").body == manifest, "the good one is not served");
    for (number, (tag, _)) in (1..).zip(&texts) {
        let told = foreign.get(&format!("manifests/{tag}"));
        assert_told(&told, &[502], tag);
        assert!(
            !told.text().contains("\\u00") && !told.text().contains("passwd"),
            "{}",
            told.text()
        );
        for path in ["blobs", "manifests"] {
            let path = format!("{path}/sha256:{}", hexes(number));
            assert_told(&foreign.get(&path), &[404, 502], tag);
        }
    }
    for tag in ["folder", "file"] {
        assert_told(&foreign.get(&format!("manifests/{tag}")), &[404], tag);
    }
    assert_eq!(foreign.get("manifests/good").body, manifest);
}

#[test]
fn names_that_no_client_can_ask_for_are_not_told() {
    let Some(operators) = Operators::start() else { return };
    let (mut tree, manifest) = sound();
    let long = "x".repeat(5000);
    let names = [
        "..",
        ".",
        "a\0b",
        "a/b",
        "/",
        "../../good",
        "a b",
        "\u{1b}[2J",
        "é",
        "-a",
        "a\n",
        "%2e%2e",
        &long,
    ];
    let tags: Vec<&str> = REPOSITORY.split('/').chain(["_manifests", "tags"]).collect();
    let subject = sha256(&manifest).split_off(7);
    let referrers: Vec<&str> =
        REPOSITORY.split('/').chain(["_referrers", "sha256", &subject, "sha256"]).collect();
    for name in names {
        for (above, below) in [(&tags, &["current", "link"][..]), (&referrers, &["link"])] {
            let path: Vec<&str> = above.iter().chain(&[name]).chain(below).copied().collect();
            tree.put_named(&path, link(&manifest));
        }
    }
    let _gateway = publish(&operators, &tree);
    let foreign = operators.foreign("team/app");
    wait(|| foreign.get("manifests/good").body == manifest, "the good one is not served");
    let listed = foreign.get("tags/list");
    assert_eq!((listed.status, &listed.json()["tags"]), (200, &serde_json::json!(["good"])));
    let referring = foreign.get(&format!("referrers/{}", sha256(&manifest)));
    assert_eq!((referring.status, &referring.json()["manifests"]), (200, &serde_json::json!([])));
}

#[test]
fn a_client_who_asks_for_nonsense_below_a_domain_is_told_so() {
    let Some(operators) = Operators::start() else { return };
    let (tree, manifest) = sound();
    let _gateway = publish(&operators, &tree);
    wait(
        || operators.foreign("team/app").get("manifests/good").body == manifest,
        "the good one is not served",
    );
    let long = format!("{DOMAIN}/{}", "a".repeat(300));
    for name in [
        format!("{DOMAIN}/team/%2e%2e/app"),
        format!("{DOMAIN}/team/a%00b"),
        format!("{DOMAIN}/team%2f%2fapp"),
        format!("{DOMAIN}/team/%1b%5b2J"),
        format!("{DOMAIN}/Team/app"),
        format!("{DOMAIN}/%ff"),
        format!("{DOMAIN}%2f..%2f..%2fetc/passwd"),
        "a..b/app".to_owned(),
        "-.test/app".to_owned(),
        "no.such.domain.that.is.long.enough.test/app".to_owned(),
        format!("{}.test/app", "a".repeat(64)),
        "127.0.0.1/app".to_owned(),
        long,
    ] {
        for rest in ["manifests/good", "tags/list"] {
            let told = http::get(&operators.other.url(&format!("/v2/{name}/{rest}")));
            assert_told(&told, &[400, 404, 502, 504], &name);
        }
    }
    for reference in ["%2e%2e", "a%00b", "a%2fb", "sha256:%2e%2e", &"x".repeat(200)] {
        let told = operators.foreign("team/app").get(&format!("manifests/{reference}"));
        assert_told(&told, &[400, 404], reference);
    }
}
