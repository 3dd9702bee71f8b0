//! The trustless gateway: what is below the public root by CIDs, for whoever can verify it.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::collections::{HashMap, HashSet};

use cid::Cid;
use reqwest::Method;
use reqwest::header::{ACCEPT, CACHE_CONTROL, IF_NONE_MATCH, RANGE};
use roadstead::ipld::{Block, ByteRange, CarEvent, CarReader, Scope, Target, Traversal, links};
use serde_json::json;

use crate::common::content::{OCI_MANIFEST, image, noise};
use crate::common::http::Response;
use crate::common::repository::Repository;
use crate::common::{Server, http, succeed};

const RAW: &str = "application/vnd.ipld.raw";
const CAR: &str = "application/vnd.ipld.car";

/// The CID of nothing, by which a gateway is known.
const PROBE: &str = "bafkqaaa";

/// A directory that its CID holds (dag-pb by the identity hash); its entry `a` is the raw leaf of `content`.
const INLINE: &str =
    "bafyaamisfmfciakvciqo24acwq46tleel4rdk7mcfowbirdtb663malnh3eugiuxxhwj64ysafqrqbykaieac";

fn root(server: &Server) -> Cid {
    succeed(&mut server.command(["root"])).trim().parse().unwrap()
}

fn ask(server: &Server, path: &str) -> Response {
    http::get(&server.url(&format!("/ipfs/{path}")))
}

fn raw(server: &Server, cid: &Cid) -> Block {
    let response = ask(server, &format!("{cid}?format=raw"));
    assert_eq!(response.status, 200, "{cid}: {}", response.text());
    Block::verify(*cid, response.body.into()).unwrap()
}

/// Reads an archive, each block of which is verified, and returns its root and its blocks.
fn read_car(response: &Response) -> (Vec<Cid>, Vec<Block>) {
    assert_eq!(response.status, 200, "{}", response.text());
    let mut reader = CarReader::new();
    for piece in response.body.chunks(10_000) {
        reader.push(piece.to_vec().into());
    }
    let (mut roots, mut blocks) = (Vec::new(), Vec::new());
    while let Some(event) = reader.next_event().unwrap() {
        match event {
            CarEvent::Header { roots: found } => roots = found,
            CarEvent::Block(block) => blocks.push(block),
        }
    }
    reader.finish().unwrap();
    (roots, blocks)
}

/// Goes along a path by the blocks of an archive, which have to be the wanted ones and no others.
fn follow(root: Cid, path: &str, scope: Scope, blocks: &[Block]) -> (Target, Vec<u8>) {
    let path = path.split('/').filter(|name| !name.is_empty()).map(str::to_owned);
    let mut traversal = Traversal::new(root, path, scope).unwrap();
    let mut content = Vec::new();
    for block in blocks {
        assert_eq!(traversal.next_cid(), Some(block.cid));
        content.extend(traversal.supply(block).unwrap().content.concat());
    }
    assert_eq!(traversal.next_cid(), None, "the archive is not the whole");
    (traversal.target().unwrap().clone(), content)
}

/// A registry with an image whose layer has several leaves, some of them equal; the layer's path and bytes.
fn filled() -> (Server, String, Vec<u8>) {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    let mut layer = noise(2_500_000, 1);
    layer.extend(vec![7; 3 << 20]);
    let digest = repository.push_blob(&layer);
    repository.push_blob(b"{}");
    repository.push_manifest("v1", &image(b"{}", &[&layer]));
    let hex = digest.strip_prefix("sha256:").unwrap().to_owned();
    (server, format!("docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]), layer)
}

#[test]
fn every_block_below_the_root_is_served_and_is_what_its_cid_says() {
    let (server, path, layer) = filled();
    let root = root(&server);
    let (mut seen, mut waiting, mut blocks) = (HashSet::new(), vec![root], HashMap::new());
    while let Some(cid) = waiting.pop() {
        if seen.insert(cid) {
            let block = raw(&server, &cid);
            waiting.extend(links(&cid, &block.bytes).unwrap().into_iter().map(|link| link.cid));
            blocks.insert(cid, block);
        }
    }
    let path = path.split('/').map(str::to_owned);
    let mut traversal = Traversal::new(root, path, Scope::Entity(None)).unwrap();
    let mut content = Vec::new();
    while let Some(cid) = traversal.next_cid() {
        content.extend(traversal.supply(&blocks[&cid]).unwrap().content.concat());
    }
    assert_eq!(content, layer);
}

#[test]
fn a_path_is_answered_by_the_blocks_that_prove_it() {
    let (server, path, layer) = filled();
    let root = root(&server);
    let response = ask(&server, &format!("{root}/{path}?format=car&dag-scope=entity"));
    assert_eq!(response.header("content-type"), format!("{CAR}; version=1; order=dfs; dups=y"));
    let (roots, blocks) = read_car(&response);
    let (target, content) = follow(root, &path, Scope::Entity(None), &blocks);
    assert_eq!(content, layer);
    let Target::File { cid, size } = target else { panic!("{target:?}") };
    assert_eq!((roots, size), (vec![cid], layer.len() as u64));

    for (text, part) in [("1000:1999", 1000..2000), ("-10:*", layer.len() - 10..layer.len())] {
        let query = format!("format=car&entity-bytes={text}");
        let (_, blocks) = read_car(&ask(&server, &format!("{root}/{path}?{query}")));
        let range: ByteRange = text.parse().unwrap();
        let (_, content) = follow(root, &path, Scope::Entity(Some(range)), &blocks);
        assert_eq!(content, layer[part], "{text}");
    }
    let (_, blocks) = read_car(&ask(&server, &format!("{root}/{path}?format=car&dag-scope=block")));
    assert_eq!(blocks.len(), path.split('/').count() + 1, "the way, and the root of the file");
}

#[test]
fn a_path_is_read_with_its_escapes() {
    let (server, path, _) = filled();
    let root = root(&server);
    let query = "format=car&dag-scope=block";
    let plain = ask(&server, &format!("{root}/{path}?{query}"));
    for written in [
        path.replacen("docker", "%64ocke%72", 1),
        path.replacen('/', "%2F", 2),
        path.replacen('/', "%2f", 1) + "/",
        path.replacen('/', "//", 1),
    ] {
        let answer = ask(&server, &format!("{root}/{written}?{query}"));
        assert_eq!(answer.header("x-ipfs-path"), format!("/ipfs/{root}/{path}"), "{written}");
        assert_eq!(answer.header("etag"), plain.header("etag"), "{written}");
        assert!(answer.body == plain.body, "{written}");
    }
    for (written, name) in [("a%2Bb", "a+b"), ("a+b", "a+b"), ("100%25", "100%"), ("%252F", "%2F")]
    {
        let answer = ask(&server, &format!("{root}/{written}?{query}"));
        let (_, blocks) = read_car(&answer);
        let (target, _) = follow(root, name, Scope::Block, &blocks);
        assert!(matches!(target, Target::Absent { .. }), "{written}: {target:?}");
        let shown = name.replace('%', "%25").replace('+', "%2B");
        assert_eq!(answer.header("x-ipfs-path"), format!("/ipfs/{root}/{shown}"));
    }
    for written in ["docker%zz", "docker%", "docker%6", "%ff", "a/%C3/b"] {
        for method in [Method::GET, Method::HEAD] {
            let url = server.url(&format!("/ipfs/{root}/{written}?{query}"));
            let answer = http::send(|client| client.request(method.clone(), &url));
            assert_eq!(answer.status, 400, "{method} {written}");
        }
    }
}

#[test]
fn a_parameter_without_a_value_says_nothing() {
    let (server, path, _) = filled();
    let root = root(&server);
    let whole = ask(&server, &format!("{root}/{path}?format=car"));
    let empty = "format=car&dag-scope=&entity-bytes=&car-order=&car-dups=&car-version=";
    let answer = ask(&server, &format!("{root}/{path}?{empty}"));
    assert_eq!((answer.status, answer.header("etag")), (200, whole.header("etag")));
    assert!(answer.body == whole.body);
}

#[test]
fn a_path_that_leads_nowhere_is_proved_to() {
    let (server, ..) = filled();
    let root = root(&server);
    for path in ["docker/registry/v2/absent", "absent", "docker/registry/v2/repositories/x/y/z"] {
        let (roots, blocks) = read_car(&ask(&server, &format!("{root}/{path}?format=car")));
        assert_eq!(roots, [PROBE.parse().unwrap()]);
        let (target, _) = follow(root, path, Scope::Block, &blocks);
        assert!(matches!(target, Target::Absent { .. }), "{path}: {target:?}");
    }
}

#[test]
fn a_whole_tree_comes_with_each_block_as_often_as_it_is_met_or_once() {
    let (server, ..) = filled();
    let root = root(&server);
    let (_, with) = read_car(&ask(&server, &format!("{root}?format=car")));
    follow(root, "", Scope::All { limit: 10_000 }, &with);
    let (_, without) = read_car(&ask(&server, &format!("{root}?format=car&car-dups=n")));
    let distinct: HashSet<Cid> = with.iter().map(|block| block.cid).collect();
    assert!(distinct.len() < with.len(), "equal leaves come again");
    let cids: Vec<Cid> = without.iter().map(|block| block.cid).collect();
    assert_eq!((cids.len(), cids.into_iter().collect::<HashSet<_>>()), (distinct.len(), distinct));
}

#[test]
fn what_is_not_below_the_root_is_nobodys_to_see() {
    let (server, ..) = filled();
    let hidden = noise(3000, 2);
    Repository::of(&server, "team/app").push_blob(&hidden);
    let hidden = Block::raw(hidden.into()).cid;
    for query in ["format=raw", "format=car"] {
        assert_eq!(ask(&server, &format!("{hidden}?{query}")).status, 404);
        assert_eq!(ask(&server, &format!("{PROBE}?{query}")).status, 200);
    }
    // What says itself where it leads leads nowhere.
    for path in ["?format=raw", "?format=car", "/a?format=car"] {
        assert_eq!(ask(&server, &format!("{INLINE}{path}")).status, 404, "{path}");
    }
    let cached = |cid: &str| {
        let url = server.url(&format!("/ipfs/{cid}?format=raw"));
        http::send(|client| client.head(&url).header(CACHE_CONTROL, "only-if-cached")).status
    };
    assert_eq!(cached(&hidden.to_string()), 412);
    assert_eq!(cached(&root(&server).to_string()), 200);
}

#[test]
fn an_answer_says_what_it_is_and_that_it_never_changes() {
    let (server, path, _) = filled();
    let root = root(&server);
    let url = server.url(&format!("/ipfs/{root}"));
    let block = http::send(|client| client.get(&url).header(ACCEPT, RAW));
    assert_eq!(block.header("content-type"), RAW);
    assert_eq!(block.header("content-length"), block.body.len().to_string());
    assert_eq!(block.header("etag"), format!("\"{root}.raw\""));
    assert_eq!(block.header("cache-control"), "public, max-age=29030400, immutable");
    assert_eq!(block.header("content-disposition"), format!("attachment; filename=\"{root}.bin\""));
    assert_eq!(block.header("vary"), "Accept");

    let accept = format!("text/html, {CAR}; dups=n; version=1;q=0.9, {RAW};q=0.5");
    let archive = http::send(|client| client.get(&url).header(ACCEPT, accept));
    assert_eq!(archive.header("content-type"), format!("{CAR}; version=1; order=dfs; dups=n"));
    assert_eq!(archive.header("accept-ranges"), "none");
    assert_eq!(archive.header("x-ipfs-path"), format!("/ipfs/{root}"));
    let other = ask(&server, &format!("{root}/{path}?format=car&dag-scope=block"));
    assert_ne!(other.header("etag"), archive.header("etag"));
    assert!(archive.header("etag").starts_with("W/\""));

    for known in [block.header("etag"), "*", "\"other\", W/\"x\", *"] {
        let again = format!("{url}?format=raw");
        let again = http::send(|client| client.get(&again).header(IF_NONE_MATCH, known));
        assert_eq!((again.status, again.body.len()), (304, 0), "{known}");
    }
    let head = http::send(|client| client.request(Method::HEAD, format!("{url}?format=car")));
    assert_eq!((head.status, head.header("content-length")), (200, ""));
}

#[test]
fn what_cannot_be_verified_or_makes_no_sense_is_refused() {
    let (server, path, _) = filled();
    let root = root(&server);
    for (query, status) in [
        ("", 406),
        ("?format=tar", 406),
        ("?format=car&car-version=2", 406),
        ("?format=car&car-order=bfs", 406),
        ("?format=car&car-dups=maybe", 400),
        ("?format=car&dag-scope=some", 400),
        ("?format=car&entity-bytes=9:1", 400),
        ("?format=car&entity-bytes=x", 400),
        ("?format=car&entity-bytes=1", 400),
        ("/docker?format=raw", 400),
    ] {
        let response = ask(&server, &format!("{root}{query}"));
        assert_eq!(response.status, status, "{query}: {}", response.text());
        assert!(response.json()["errors"][0]["message"].is_string());
    }
    for cid in ["x", "bafy", "Qm", &root.to_string()[1..]] {
        assert_eq!(ask(&server, &format!("{cid}?format=raw")).status, 400, "{cid}");
    }
    let long = vec!["a"; 2000].join("/");
    assert_eq!(ask(&server, &format!("{root}/{long}?format=car")).status, 400);
    let through_a_file = ask(&server, &format!("{root}/{path}/below?format=car"));
    assert_eq!(read_car(&through_a_file).0, [PROBE.parse().unwrap()]);
    let post = http::send(|client| client.post(server.url(&format!("/ipfs/{root}"))));
    assert_eq!((post.status, post.header("allow")), (405, "GET, HEAD, OPTIONS"));
}

#[test]
fn a_root_that_was_replaced_is_served_for_a_while() {
    for (grace, status) in [("1h", 200), ("1ms", 404)] {
        let server = Server::start_with(move |command| {
            command.env("ROADSTEAD_GATEWAY__ROOT_GRACE", grace);
        });
        let repository = Repository::of(&server, "team/app");
        repository.push_image("v1", "first");
        let before = root(&server);
        raw(&server, &before);
        repository.push_image("v1", "second");
        let after = root(&server);
        raw(&server, &after);
        assert_eq!(ask(&server, &format!("{before}?format=raw")).status, status, "{grace}");
    }
}

#[test]
fn a_manifest_of_several_blocks_is_served() {
    let server = Server::start();
    let repository = Repository::of(&server, "team/app");
    repository.push_blob(b"{}");
    let mut manifest = image(b"{}", &[]);
    manifest["annotations"] = json!({ "long": "x".repeat(2_500_000) });
    let bytes = manifest.to_string().into_bytes();
    assert_eq!(repository.put("v1", OCI_MANIFEST, &bytes).status, 201);
    let hex = crate::common::content::sha256(&bytes);
    let hex = hex.strip_prefix("sha256:").unwrap();
    let path = format!("docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]);
    let root = root(&server);
    let response = ask(&server, &format!("{root}/{path}?format=car&dag-scope=entity"));
    let (_, content) = follow(root, &path, Scope::Entity(None), &read_car(&response).1);
    assert!(content == bytes);
}

#[test]
fn where_clients_sign_in_to_pull_there_is_no_gateway() {
    for (anonymous, status) in [("false", 404), ("true", 200)] {
        let folder = tempfile::TempDir::new().unwrap();
        let file = folder.path().join("htpasswd");
        std::fs::write(&file, "").unwrap();
        let server = Server::start_with(move |command| {
            command
                .env("ROADSTEAD_AUTH__METHOD", "htpasswd")
                .env("ROADSTEAD_AUTH__HTPASSWD__FILE", &file)
                .env("ROADSTEAD_AUTH__HTPASSWD__ANONYMOUS_PULL", anonymous);
        });
        assert_eq!(ask(&server, &format!("{PROBE}?format=raw")).status, status);
    }
    let off = Server::start_with(|command| {
        command.env("ROADSTEAD_GATEWAY__ENABLED", "false");
    });
    assert_eq!(ask(&off, &format!("{PROBE}?format=raw")).status, 404);
}

#[test]
fn a_client_may_say_under_which_name_an_answer_is_saved() {
    let (server, ..) = filled();
    let root = root(&server);
    for (query, expected) in [
        ("format=raw&filename=foobar.bin", "attachment; filename=\"foobar.bin\""),
        ("format=car&filename=foobar.car", "attachment; filename=\"foobar.car\""),
        ("format=raw&filename=a%22%0D%0Ab", "attachment; filename=\"a___b\""),
        (
            "format=car&filename=test%D1%82.car",
            "attachment; filename=\"test_.car\"; filename*=UTF-8''test%D1%82.car",
        ),
    ] {
        let answer = ask(&server, &format!("{root}?{query}"));
        assert_eq!(answer.header("content-disposition"), expected, "{query}");
    }
}

#[test]
fn a_range_of_a_block_is_answered_by_it_or_by_the_whole() {
    let (server, ..) = filled();
    let root = root(&server);
    let block = raw(&server, &root).bytes;
    for range in ["bytes=6-16", "bytes=0-3,6-16", "bytes=-4"] {
        let url = server.url(&format!("/ipfs/{root}?format=raw"));
        let answer = http::send(|client| client.get(&url).header(RANGE, range));
        match answer.status {
            200 => assert_eq!(answer.body, block),
            206 if !range.contains(',') => assert!(!answer.header("content-range").is_empty()),
            status => panic!("{range}: {status}"),
        }
    }
}
