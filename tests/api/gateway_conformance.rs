//! What ipfs/gateway-conformance asserts of trustless gateways, as far as it applies to the trees of a registry:
//! directories, sharded directories and files of several blocks. What an archive has to hold is computed here
//! from raw blocks alone. Records of keys are in `gateway_ipns`, other origins in `gateway_cors`, `Accept` in
//! `gateway_accept`.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

use bytes::Bytes;
use cid::Cid;
use reqwest::header::{ACCEPT, IF_NONE_MATCH};
use roadstead::ipld::{Block, CarEvent, CarReader, Entry, Node, describe, links};

use crate::common::content::{MIB, image, noise, sha256};
use crate::common::http::{self, Response};
use crate::common::repository::Repository;
use crate::common::{Server, succeed};

const RAW: &str = "application/vnd.ipld.raw";
const CAR: &str = "application/vnd.ipld.car";

/// Where the tags of the repository stand, more than one block of a directory holds.
const TAGS: &str = "docker/registry/v2/repositories/team/app/_manifests/tags";

/// A registry, and the blocks that it was seen to serve.
struct Dag {
    server: Server,
    root: Cid,
    blocks: RefCell<HashMap<Cid, Bytes>>,
}

/// The layer: three leaves and a half, of which the first and the third are equal.
fn layer() -> Vec<u8> {
    let part = noise(MIB, 1);
    [&part[..], &noise(MIB, 2), &part, &noise(MIB / 2, 3)].concat()
}

fn layer_path() -> String {
    let hex = sha256(&layer()).split_off(7);
    format!("docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2])
}

/// A long tag.
fn tag(number: usize) -> String {
    format!("{number:x>120}")
}

/// Copies a folder of links.
fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

impl Dag {
    fn start(tags: usize) -> Self {
        // What is done to its folder can be done to a folder alone.
        let mut server = if tags > 0 { Server::start_embedded() } else { Server::start() };
        let repository = Repository::of(&server, "team/app");
        let layer = layer();
        repository.push_blob(&layer);
        repository.push_blob(b"{}");
        repository.push_manifest("v1", &image(b"{}", &[&layer]));
        if tags > 0 {
            // So many are not pushed one by one, which takes long.
            server.stop();
            server.lose_index();
            let folder = server.public().join(TAGS);
            for number in 0..tags {
                copy(&folder.join("v1"), &folder.join(tag(number)));
            }
            succeed(&mut server.command(["index", "rebuild"]));
            server.start_again();
        }
        let root = succeed(&mut server.command(["root"])).trim().parse().unwrap();
        Self { server, root, blocks: RefCell::default() }
    }

    fn ask(&self, path: &str, headers: &[(&str, &str)]) -> Response {
        let url = self.server.url(&format!("/ipfs/{path}"));
        http::send(|client| {
            headers
                .iter()
                .fold(client.get(&url), |request, (name, value)| request.header(*name, *value))
        })
    }

    /// A block as it is served, which is what its CID says.
    fn raw(&self, cid: &Cid) -> Bytes {
        let known = self.blocks.borrow().get(cid).cloned();
        known.unwrap_or_else(|| {
            let answer = self.ask(&format!("{cid}?format=raw"), &[]);
            assert_eq!(answer.status, 200, "{cid}: {}", answer.text());
            let block = Block::verify(*cid, answer.body.into()).unwrap();
            self.blocks.borrow_mut().insert(*cid, block.bytes.clone());
            block.bytes
        })
    }

    fn links(&self, cid: &Cid) -> Vec<Entry> {
        links(cid, &self.raw(cid)).unwrap()
    }

    /// A block and all that is below it, depth first, as often as it is met.
    fn whole(&self, cid: &Cid) -> Vec<Cid> {
        let below = self.links(cid).into_iter().flat_map(|link| self.whole(&link.cid));
        [*cid].into_iter().chain(below).collect()
    }

    /// The blocks of a directory, and nothing of what it names.
    fn listing(&self, cid: &Cid) -> Vec<Cid> {
        let shards = match describe(cid, &self.raw(cid)).unwrap() {
            Node::Shard(links) => links.into_iter().filter(|link| link.name.len() == 2).collect(),
            _ => Vec::new(),
        };
        let below = shards.into_iter().flat_map(|link| self.listing(&link.cid));
        [*cid].into_iter().chain(below).collect()
    }

    /// The blocks on the way to a name of a directory, the first of the directory first, and what has the name.
    fn step(&self, cid: &Cid, name: &str) -> Option<(Vec<Cid>, Cid)> {
        match describe(cid, &self.raw(cid)).unwrap() {
            Node::Directory(entries) => {
                let found = entries.into_iter().find(|entry| entry.name == name)?;
                Some((vec![*cid], found.cid))
            }
            Node::Shard(links) => links.into_iter().find_map(|link| match &link.name[2..] {
                "" => {
                    let (way, found) = self.step(&link.cid, name)?;
                    Some(([*cid].into_iter().chain(way).collect(), found))
                }
                rest => (rest == name).then(|| (vec![*cid], link.cid)),
            }),
            _ => None,
        }
    }

    /// The blocks that prove a path, what is at its end, and what each name leads to.
    fn way(&self, path: &str) -> (Vec<Cid>, Cid, Vec<Cid>) {
        let (mut way, mut at, mut roots) = (Vec::new(), self.root, vec![self.root]);
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let (blocks, next) =
                self.step(&at, name).unwrap_or_else(|| panic!("there is no {name}"));
            way.extend(blocks);
            at = next;
            roots.push(at);
        }
        (way, at, roots)
    }

    /// The CIDs of an archive, in its order; each block is verified.
    fn archive(&self, path: &str, headers: &[(&str, &str)]) -> Vec<Cid> {
        read(&self.ask(path, headers))
    }

    /// An archive of a path below the root.
    fn below(&self, path: &str, query: &str) -> Vec<Cid> {
        self.archive(&format!("{}/{path}?format=car&{query}", self.root), &[])
    }
}

fn read(answer: &Response) -> Vec<Cid> {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let mut reader = CarReader::new();
    reader.push(answer.body.clone().into());
    let mut cids = Vec::new();
    while let Some(event) = reader.next_event().unwrap() {
        if let CarEvent::Block(block) = event {
            cids.push(block.cid);
        }
    }
    reader.finish().unwrap();
    cids
}

#[test]
fn an_archive_holds_the_way_and_what_its_scope_says_in_depth_first_order() {
    let dag = Dag::start(0);
    let (file, directory) = (layer_path(), "docker/registry/v2/blobs");
    for path in ["", "docker", directory, file.as_str()] {
        let (way, end, roots) = dag.way(path);
        let with = |rest: Vec<Cid>| -> Vec<Cid> { way.iter().copied().chain(rest).collect() };
        let whole = with(dag.whole(&end));
        assert_eq!(dag.below(path, ""), whole, "{path}: the default is all");
        assert_eq!(dag.below(path, "dag-scope=all"), whole, "{path}");
        assert_eq!(dag.below(path, "dag-scope=block"), with(vec![end]), "{path}");
        let entity = if path == file { dag.whole(&end) } else { vec![end] };
        assert_eq!(dag.below(path, "dag-scope=entity"), with(entity.clone()), "{path}");
        assert_eq!(dag.below(path, "dag-scope=entity&entity-bytes=0:*"), with(entity), "{path}");
        let answer = dag.ask(&format!("{}/{path}?format=car&dag-scope=block", dag.root), &[]);
        let expected: Vec<String> = roots.iter().map(Cid::to_string).collect();
        assert_eq!(answer.header("x-ipfs-roots"), expected.join(","));
    }
    // Nothing is there: the blocks that prove it.
    let (way, end, _) = dag.way(directory);
    let proof: Vec<Cid> = way.into_iter().chain([end]).collect();
    assert_eq!(dag.below(&format!("{directory}/absent"), ""), proof);
}

#[test]
fn a_sharded_directory_is_crossed_by_the_shards_on_the_way_and_listed_by_all_of_them() {
    let dag = Dag::start(1700);
    let (way, directory, _) = dag.way(TAGS);
    let shards = dag.listing(&directory);
    assert!(shards.len() > 1, "it is not sharded");
    let listed: Vec<Cid> = way.iter().copied().chain(shards).collect();
    for query in ["dag-scope=entity", "entity-bytes=0:*", "dag-scope=entity&entity-bytes=5:-5"] {
        assert_eq!(dag.below(TAGS, query), listed, "{query}");
    }
    for number in [0, 853, 1699] {
        let path = format!("{TAGS}/{}", tag(number));
        let (way, end, _) = dag.way(&path);
        let block: Vec<Cid> = way.iter().copied().chain([end]).collect();
        assert_eq!(dag.below(&path, "dag-scope=block"), block);
        let whole: Vec<Cid> = way.into_iter().chain(dag.whole(&end)).collect();
        assert_eq!(dag.below(&path, ""), whole);
    }
}

#[test]
fn a_range_of_a_file_needs_the_leaves_that_it_touches_and_no_others() {
    let dag = Dag::start(0);
    let path = layer_path();
    let (_, file, _) = dag.way(&path);
    let leaves: Vec<Cid> = dag.links(&file).into_iter().map(|link| link.cid).collect();
    assert_eq!(leaves.len(), 4);
    for (range, touched) in [
        ("0:*", 0..4),
        ("0:0", 0..1),
        ("0:1048575", 0..1),
        ("0:1048576", 0..2),
        ("1048576:*", 1..4),
        ("1048576:2097151", 1..2),
        ("1048577:-524289", 1..3),
        ("-5:*", 3..4),
        ("-524289:*", 2..4),
        ("-99999999:*", 0..4),
        ("-99999999:-524289", 0..3),
        ("3145728:99999999", 3..4),
        ("99999999:*", 0..0),
    ] {
        let expected: Vec<Cid> = [file].into_iter().chain(leaves[touched].to_vec()).collect();
        for query in
            [format!("dag-scope=entity&entity-bytes={range}"), format!("entity-bytes={range}")]
        {
            let found = dag.archive(&format!("{file}?format=car&{query}"), &[]);
            // Of a range beyond the end the first block alone is the proof.
            assert_eq!(found, expected, "{query}");
        }
    }
    if dag.server.pair().is_some() {
        return;
    }
    // What lies elsewhere need not be readable.
    let hex = sha256(&layer()).split_off(7);
    let content = dag
        .server
        .public()
        .join(format!("docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]));
    let content = fs::OpenOptions::new().write(true).open(content).unwrap();
    content.write_all_at(b"damaged", MIB as u64 + 10).unwrap();
    for (range, leaf) in [("0:1000", 0), ("2200000:2200100", 2), ("-5:*", 3)] {
        let found = dag.archive(&format!("{file}?format=car&entity-bytes={range}"), &[]);
        assert_eq!(found, [file, leaves[leaf]], "{range}");
    }
}

#[test]
fn order_and_duplicates_are_as_requested_and_declared() {
    let dag = Dag::start(0);
    let (_, file, _) = dag.way(&layer_path());
    let with = dag.whole(&file);
    let mut seen = HashSet::new();
    let without: Vec<Cid> = with.iter().copied().filter(|cid| seen.insert(*cid)).collect();
    assert_eq!((with.len(), without.len()), (5, 4));
    for (query, accept, dups) in [
        ("", "application/vnd.ipld.car; version=1; order=dfs; dups=y", 'y'),
        ("", "application/vnd.ipld.car; version=1; order=dfs; dups=n", 'n'),
        ("?format=car", "application/vnd.ipld.car; version=1; order=dfs; dups=n", 'n'),
        ("?format=car&car-order=dfs", "application/vnd.ipld.car; order=unk", 'y'),
        ("?format=car&car-dups=y", "application/vnd.ipld.car; dups=n", 'y'),
        ("", "application/vnd.ipld.car; version=1; order=unk", 'y'),
        // The parameter of the URL is what counts.
        ("?format=car", RAW, 'y'),
    ] {
        let answer = dag.ask(&format!("{file}{query}"), &[(ACCEPT.as_str(), accept)]);
        let expected = format!("{CAR}; version=1; order=dfs; dups={dups}");
        assert_eq!(answer.header("content-type"), expected, "{query} {accept}");
        assert_eq!(read(&answer), if dups == 'y' { with.clone() } else { without.clone() });
    }
    let raw = dag.ask(&format!("{file}?format=raw"), &[(ACCEPT.as_str(), CAR)]);
    assert_eq!((raw.header("content-type"), &raw.body[..]), (RAW, &dag.raw(&file)[..]));
}

#[test]
fn what_a_cid_holds_itself_is_never_a_block_of_an_archive() {
    let dag = Dag::start(0);
    for cid in ["bafkqaaa", "bafkqabtimvwgy3yk", "bafkqaf3imvwgy3zaneqgc3janfxgy2lomvscay3jmqfa"] {
        for query in ["", ";dups=y", ";dups=n"] {
            let accept = format!("{CAR}{query}");
            assert!(dag.archive(cid, &[(ACCEPT.as_str(), accept.as_str())]).is_empty(), "{cid}");
        }
        let block = dag.ask(&format!("{cid}?format=raw"), &[]);
        let cid: Cid = cid.parse().unwrap();
        assert_eq!((block.status, &block.body[..]), (200, cid.hash().digest()));
    }
}

#[test]
fn headers_say_what_an_answer_is_and_how_long_it_lasts() {
    let dag = Dag::start(0);
    let (_, file, _) = dag.way(&layer_path());
    let leaf = dag.links(&file)[3].cid;
    let root = dag.root;
    for (path, accept, extension) in [
        (format!("{root}"), RAW, "bin"),
        (format!("{leaf}"), RAW, "bin"),
        (format!("{root}"), CAR, "car"),
        (format!("{root}/docker/registry"), CAR, "car"),
        ("bafkqaaa".to_owned(), RAW, "bin"),
    ] {
        let answer = dag.ask(&path, &[(ACCEPT.as_str(), accept)]);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert!(answer.header("content-type").starts_with(accept));
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        let cid = path.split('/').next().unwrap();
        let name = format!("attachment; filename=\"{cid}.{extension}\"");
        assert_eq!(answer.header("content-disposition"), name);
        assert_eq!(answer.header("x-ipfs-path"), format!("/ipfs/{path}"));
        assert!(answer.header("x-ipfs-roots").split(',').any(|it| it == cid));
        let directives: BTreeMap<&str, &str> = answer
            .header("cache-control")
            .split(',')
            .map(|it| it.trim().split_once('=').unwrap_or((it.trim(), "")))
            .collect();
        assert!(directives.contains_key("public") && directives.contains_key("immutable"));
        assert!(directives["max-age"].parse::<u64>().unwrap() >= 29_030_400);
        if accept == RAW {
            assert_eq!(answer.header("content-length"), answer.body.len().to_string());
        }

        let tag = answer.header("etag").to_owned();
        let opaque = tag.trim_start_matches("W/");
        let lists = [
            tag.clone(),
            opaque.to_owned(),
            format!("W/{opaque}"),
            format!("\"a\" , {opaque}"),
            "*".to_owned(),
        ];
        for known in lists {
            let headers = [(ACCEPT.as_str(), accept), (IF_NONE_MATCH.as_str(), known.as_str())];
            let again = dag.ask(&path, &headers);
            assert_eq!((again.status, again.body.len()), (304, 0), "{path} {known}");
            assert_eq!(again.header("etag"), tag);
        }
        let other = [(ACCEPT.as_str(), accept), (IF_NONE_MATCH.as_str(), "\"other\", W/\"x\"")];
        assert_eq!(dag.ask(&path, &other).status, 200);
        let url = dag.server.url(&format!("/ipfs/{path}"));
        let head = http::send(|client| client.head(&url).header(ACCEPT, accept));
        assert_eq!((head.status, head.body.len()), (200, 0));
        for header in
            ["content-type", "etag", "cache-control", "content-disposition", "x-ipfs-roots"]
        {
            assert_eq!(head.header(header), answer.header(header), "{header}");
        }
    }
    // Each answer has a tag of its own.
    let tags: Vec<String> = [
        format!("{root}?format=raw"),
        format!("{root}?format=car"),
        format!("{root}?format=car&car-dups=n"),
        format!("{root}?format=car&dag-scope=block"),
        format!("{root}?format=car&entity-bytes=0:9"),
        format!("{root}?format=car&entity-bytes=0:8"),
        format!("{root}/docker?format=car"),
    ]
    .iter()
    .map(|path| dag.ask(path, &[]).header("etag").to_owned())
    .collect();
    let distinct: HashSet<&String> = tags.iter().collect();
    assert_eq!(distinct.len(), tags.len(), "{tags:?}");
}
