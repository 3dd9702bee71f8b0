//! A publisher whose tree is sound and full of nonsense: names and links that mean to lead elsewhere.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use cid::Cid;
use roadstead::ipld::{Block, Directory, Entry, digest_of, file};
use serde_json::json;

use crate::common::content::{OCI_MANIFEST, image, sha256};
use crate::common::http;
use crate::common::repository::{assert_refused, wait};
use crate::federation::answering::Answering;
use crate::federation::operators::{DOMAIN, Operators};

/// What stands below a root, by names that nobody looks at.
pub(crate) enum Node {
    File(Vec<u8>),
    /// A mebibyte of nothing, so many times.
    Long(usize),
    Folder(BTreeMap<String, Node>),
}

impl Node {
    pub(crate) fn folder() -> Self {
        Self::Folder(BTreeMap::new())
    }

    /// Puts something where a path leads to, by names that are good.
    pub(crate) fn put(&mut self, path: &str, node: Node) {
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

    pub(crate) fn build(&self, blocks: &mut HashMap<Cid, Bytes>) -> (Cid, u64) {
        match self {
            Self::File(bytes) => {
                let bytes = Bytes::copy_from_slice(bytes);
                let built = file::build(&bytes, &mut |block: Block| {
                    blocks.insert(block.cid, block.bytes);
                });
                (built.cid, built.dag_size)
            }
            Self::Long(mebibytes) => {
                let leaf = Block::raw(vec![0; file::CHUNK_SIZE].into());
                let digest = digest_of(&leaf.cid).unwrap();
                blocks.insert(leaf.cid, leaf.bytes);
                let (mut spine, size) = (file::Spine::new(), file::CHUNK_SIZE as u64);
                let mut keep = |interior: file::Interior| {
                    blocks.insert(interior.block.cid, interior.block.bytes);
                };
                for _ in 0..*mebibytes {
                    spine.push_leaf(digest, size, &mut keep);
                }
                let built = spine.finish(&mut keep);
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
    publish_noting(operators, tree).0
}

/// What a gateway was asked for.
type Requests = Arc<Mutex<Vec<String>>>;

/// The same, and notes the paths that are asked for.
fn publish_noting(operators: &Operators, tree: &Node) -> (Answering, Requests) {
    let requests = Requests::default();
    let noted = Arc::clone(&requests);
    let mut blocks = HashMap::new();
    let (root, _) = tree.build(&mut blocks);
    let gateway = Answering::start(move |path| {
        noted.lock().unwrap().push(path.to_owned());
        let target = path.strip_prefix("/ipfs/")?;
        let (name, query) = target.split_once('?')?;
        // An archive in no order that is known: blocks are asked for one by one then.
        if query.starts_with("format=car") {
            return Some(Vec::new());
        }
        blocks.get(&name.parse().ok()?).map(|bytes| bytes.to_vec())
    });
    operators.publish_as(&format!("dnslink=/ipfs/{root}"), &gateway.hint());
    (gateway, requests)
}

pub(crate) const REPOSITORY: &str = "docker/registry/v2/repositories/team/app";

pub(crate) fn data(bytes: &[u8]) -> String {
    let hex = sha256(bytes).split_off(7);
    format!("docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2])
}

pub(crate) fn link(bytes: &[u8]) -> Node {
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
fn assert_explained(response: &http::Response, statuses: &[u16], what: &str) {
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
        let path = format!("{REPOSITORY}/_manifests/tags/{tag}/current/link");
        tree.put(&path, Node::File(text.clone()));
    }
    let hexes = |number: u8| format!("{number:02x}").repeat(32);
    for (number, (_, text)) in (1..).zip(&texts) {
        for kind in ["_layers", "_manifests/revisions"] {
            let path = format!("{REPOSITORY}/{kind}/sha256/{}/link", hexes(number));
            tree.put(&path, Node::File(text.clone()));
        }
    }
    // Where a file belongs stands a directory, and the other way round.
    tree.put(&format!("{REPOSITORY}/_manifests/tags/folder/current/link"), Node::folder());
    tree.put(&format!("{REPOSITORY}/_manifests/tags/file"), Node::File(b"current".to_vec()));
    let _gateway = publish(&operators, &tree);
    let foreign = operators.foreign("team/app");
    wait(|| foreign.get("manifests/good").body == manifest, "the good one is not served");
    for (number, (tag, _)) in (1..).zip(&texts) {
        let answer = foreign.get(&format!("manifests/{tag}"));
        assert_explained(&answer, &[502], tag);
        assert!(
            !answer.text().contains("\\u00") && !answer.text().contains("passwd"),
            "{}",
            answer.text()
        );
        for path in ["blobs", "manifests"] {
            let path = format!("{path}/sha256:{}", hexes(number));
            assert_explained(&foreign.get(&path), &[404, 502], tag);
        }
    }
    for tag in ["folder", "file"] {
        assert_explained(&foreign.get(&format!("manifests/{tag}")), &[404], tag);
    }
    assert_eq!(foreign.get("manifests/good").body, manifest);
}

#[test]
fn names_that_no_client_can_request_are_not_listed() {
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
fn a_malformed_name_below_a_domain_is_refused() {
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
            let answer = http::get(&operators.other.url(&format!("/v2/{name}/{rest}")));
            assert_explained(&answer, &[400, 404, 502, 504], &name);
        }
    }
    for reference in ["%2e%2e", "a%00b", "a%2fb", "sha256:%2e%2e", &"x".repeat(200)] {
        let answer = operators.foreign("team/app").get(&format!("manifests/{reference}"));
        assert_explained(&answer, &[400, 404], reference);
    }
}

#[test]
fn content_that_is_not_what_its_digest_says_is_refused_with_a_sentence() {
    let Some(operators) = Operators::start() else { return };
    let (mut tree, manifest) = sound();
    let wrong: [(&[u8], Node); 4] = [
        (b"empty", Node::File(Vec::new())),
        (b"short", Node::File(b"something else".to_vec())),
        // Ten gibibytes: more than a manifest may have, and than is kept.
        (b"long", Node::Long(10 << 10)),
        (b"folder", Node::folder()),
    ];
    let digests: Vec<String> = wrong.iter().map(|(bytes, _)| sha256(bytes)).collect();
    for (bytes, node) in wrong {
        let hex = sha256(bytes).split_off(7);
        for kind in ["_layers", "_manifests/revisions"] {
            tree.put(&format!("{REPOSITORY}/{kind}/sha256/{hex}/link"), link(bytes));
        }
        tree.put(&data(bytes), node);
    }
    let _gateway = publish(&operators, &tree);
    let foreign = operators.foreign("team/app");
    wait(|| foreign.get("manifests/good").body == manifest, "the good one is not served");
    for digest in digests {
        for (path, statuses) in [("blobs", &[502, 507]), ("manifests", &[502, 502])] {
            let answer = foreign.get(&format!("{path}/{digest}"));
            assert_explained(&answer, statuses, &digest);
        }
    }
    assert_eq!(foreign.get("manifests/good").body, manifest);
}

#[test]
fn a_directory_without_end_is_not_read_to_it() {
    let Some(operators) = Operators::start() else { return };
    let (mut tree, manifest) = sound();
    let many = (0..100_001).map(|number| (number.to_string(), Node::File(Vec::new()))).collect();
    tree.put("docker/registry/v2/repositories/many/_manifests/tags", Node::Folder(many));
    let _gateway = publish(&operators, &tree);
    let good = || operators.foreign("team/app").get("manifests/good").body == manifest;
    wait(good, "the good one is not served");
    let list = || operators.foreign("many").get("tags/list");
    // On a machine with much else to do the minute of a lookup may be over before.
    let listed = (0..3).map(|_| list()).find(|listed| listed.status != 504).unwrap_or_else(list);
    assert_explained(&listed, &[502], "many");
    assert!(good());
}

#[test]
fn however_many_refer_to_a_manifest_they_are_listed_once() {
    let Some(operators) = Operators::start() else { return };
    let (mut tree, manifest) = sound();
    let subject = sha256(&manifest);
    let referring = format!("{REPOSITORY}/_referrers/sha256/{}/sha256", &subject[7..]);
    let mut expected = Vec::new();
    for number in 0..40 {
        let mut referrer = image(format!("{number}").as_bytes(), &[]);
        referrer["subject"] = json!({
            "mediaType": OCI_MANIFEST, "digest": subject, "size": manifest.len(),
        });
        let bytes = referrer.to_string().into_bytes();
        let digest = sha256(&bytes);
        tree.put(&format!("{referring}/{}/link", &digest[7..]), link(&bytes));
        // The repository does not have all of those that are said to refer to it.
        if number % 2 == 0 {
            let revision =
                format!("{REPOSITORY}/_manifests/revisions/sha256/{}/link", &digest[7..]);
            tree.put(&revision, link(&bytes));
            tree.put(&data(&bytes), Node::File(bytes));
            expected.push(digest);
        }
    }
    expected.sort();
    let (_gateway, requests) = publish_noting(&operators, &tree);
    let foreign = operators.foreign("team/app");
    wait(|| foreign.get("manifests/good").body == manifest, "the good one is not served");
    let listed = foreign.get(&format!("referrers/{subject}"));
    assert_eq!((listed.status, listed.header("link")), (200, ""), "{}", listed.text());
    let digests = |listed: &http::Response| -> Vec<String> {
        let listed = listed.json()["manifests"].as_array().unwrap().clone();
        listed.iter().map(|found| found["digest"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(digests(&listed), expected);
    let listings = format!("/{referring}?format=car");
    let requests = requests.lock().unwrap().clone();
    assert_eq!(requests.iter().filter(|path| path.contains(&listings)).count(), 1);

    let first = foreign.get(&format!("referrers/{subject}?n=7"));
    assert_eq!(digests(&first), expected[..7]);
    let rest = foreign.get(&format!("referrers/{subject}?last={}", expected[6]));
    assert_eq!(digests(&rest), expected[7..]);
    assert!(first.header("link").contains(&expected[6].replace(':', "%3A")), "{first:?}");
}

#[test]
fn tags_are_listed_of_repositories_alone() {
    let Some(operators) = Operators::start() else { return };
    let (mut tree, manifest) = sound();
    tree.put("docker/registry/v2/repositories/team/bare/_layers", Node::folder());
    let _gateway = publish(&operators, &tree);
    wait(
        || operators.foreign("team/app").get("manifests/good").body == manifest,
        "the good one is not served",
    );
    assert_eq!(operators.foreign("team/bare").get("tags/list").json()["tags"], json!([]));
    // What others stand in is none itself.
    assert_refused(&operators.foreign("team").get("tags/list"), 404, "NAME_UNKNOWN");
}
