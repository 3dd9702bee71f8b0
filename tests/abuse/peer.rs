//! Publishers that mean harm: what they do to their own content, others do not notice.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cid::Cid;
use reqwest::header::IF_NONE_MATCH;
use roadstead::ipld::car_header;

use crate::abuse::{descriptors, memory, metric};
use crate::common::connection::Connection;
use crate::common::content::{MIB, NOBODYS, noise, sha256};
use crate::common::http;
use crate::common::repository::{Repository, wait};
use crate::federation::hostile::{Node, REPOSITORY, link};
use crate::federation::operators::{DOMAIN, Operators};
use crate::federation::publisher::{self, Publisher, tree_of};

/// What a peer does with what is asked of it. It has no archives, unless it says so.
#[derive(Clone, Copy)]
enum Manner {
    /// Tells its blocks.
    Good,
    /// Says nothing.
    Silent,
    /// Begins an archive, and sends its first block, of nearly as much as one may have, but for its end.
    Stalling(usize),
    /// Sends a half of each leaf.
    Halving,
    /// Hangs up after so many bytes of each answer.
    Cutting(usize),
    /// Sends a head without an end.
    EndlessHead,
    /// Sends a block without an end.
    EndlessBlock,
    /// Sends its first leaves as they are, and of the others a few bytes now and then.
    Trickling,
}

/// A gateway. It ends with the process of the tests.
struct Peer {
    root: Cid,
    hint: String,
    shared: Arc<Shared>,
}

struct Shared {
    manner: Manner,
    blocks: HashMap<Cid, Bytes>,
    requests: AtomicUsize,
    /// Those that a trickling one sends at once.
    fast: Vec<Cid>,
    /// How many were asked for.
    leaves: AtomicUsize,
    /// How many connections are open.
    open: AtomicUsize,
    is_released: AtomicBool,
}

impl Peer {
    fn start(manner: Manner, tree: &Node) -> Self {
        Self::start_with(manner, Vec::new(), tree)
    }

    /// One that trickles after so many leaves of its content.
    fn trickling(leaves: usize, content: &[u8]) -> Self {
        let fast = publisher::leaves(&content[..leaves * MIB]);
        Self::start_with(Manner::Trickling, fast, &tree_of(content, content))
    }

    fn start_with(manner: Manner, fast: Vec<Cid>, tree: &Node) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let hint = format!("/ip4/127.0.0.1/tcp/{}/http", listener.local_addr().unwrap().port());
        let mut blocks = HashMap::new();
        let (root, _) = tree.build(&mut blocks);
        let shared = Arc::new(Shared {
            manner,
            blocks,
            requests: AtomicUsize::new(0),
            fast,
            leaves: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            is_released: AtomicBool::new(false),
        });
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = Arc::clone(&serving);
                thread::spawn(move || {
                    shared.open.fetch_add(1, Ordering::SeqCst);
                    // The registry may hang up at any point.
                    let _ = shared.serve(&client);
                    shared.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { root, hint, shared }
    }

    /// Names it in the DNS, by a domain that it has for itself.
    fn publish(&self, operators: &Operators, label: &str) -> String {
        let domain = format!("{label}.{DOMAIN}");
        operators.publish_at(&domain, &format!("dnslink=/ipfs/{}", self.root), &self.hint);
        domain
    }

    fn open(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }

    fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::SeqCst)
    }

    fn leaves(&self) -> usize {
        self.shared.leaves.load(Ordering::SeqCst)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.shared.is_released.store(true, Ordering::SeqCst);
    }
}

impl Shared {
    fn serve(&self, client: &TcpStream) -> io::Result<()> {
        let mut reader = BufReader::new(client);
        let (mut first, mut line) = (String::new(), String::new());
        reader.read_line(&mut first)?;
        while reader.read_line(&mut line)? > 2 {
            line.clear();
        }
        self.requests.fetch_add(1, Ordering::SeqCst);
        self.answer(client, first.split(' ').nth(1).unwrap_or_default())
    }

    fn answer(&self, client: &TcpStream, target: &str) -> io::Result<()> {
        let (name, query) = target.trim_start_matches("/ipfs/").split_once('?').unwrap_or_default();
        let is_archive = query.starts_with("format=car");
        match self.manner {
            Manner::Silent => return gone(client),
            Manner::EndlessHead => {
                send(client, b"HTTP/1.1 200 OK\r\n")?;
                loop {
                    send(client, format!("X-More: {}\r\n", "x".repeat(5000)).as_bytes())?;
                }
            }
            Manner::Stalling(length) if is_archive => return self.stall(client, length),
            _ if is_archive => return head(client, 406, 0, ""),
            _ => {}
        }
        let cid: Cid = name.parse().unwrap_or_default();
        let Some(block) = self.blocks.get(&cid) else { return head(client, 404, 0, "") };
        let is_leaf = block.len() >= MIB;
        self.leaves.fetch_add(usize::from(is_leaf), Ordering::SeqCst);
        let kind = "Content-Type: application/vnd.ipld.raw\r\n";
        match self.manner {
            Manner::EndlessBlock => {
                let fields = format!("Connection: close\r\n{kind}");
                send(client, format!("HTTP/1.1 200 OK\r\n{fields}\r\n").as_bytes())?;
                loop {
                    send(client, block)?;
                }
            }
            Manner::Cutting(length) => {
                head(client, 200, block.len(), kind)?;
                send(client, &block[..length.min(block.len() - 1)])?;
                Err(io::ErrorKind::ConnectionAborted.into())
            }
            Manner::Halving if is_leaf => {
                head(client, 200, block.len(), kind)?;
                send(client, &block[..block.len() / 2])?;
                gone(client)
            }
            Manner::Trickling if is_leaf && !self.fast.contains(&cid) => {
                head(client, 200, block.len(), kind)?;
                for piece in block.chunks(900) {
                    send(client, piece)?;
                    thread::sleep(Duration::from_millis(100));
                    if self.is_released.load(Ordering::SeqCst) {
                        return Err(io::ErrorKind::ConnectionAborted.into());
                    }
                }
                Ok(())
            }
            _ => {
                head(client, 200, block.len(), kind)?;
                send(client, block)
            }
        }
    }

    fn stall(&self, client: &TcpStream, length: usize) -> io::Result<()> {
        let root = self.blocks.keys().next().copied().unwrap_or_default();
        let kind = "application/vnd.ipld.car; version=1; order=dfs; dups=y";
        let fields = format!("Content-Type: {kind}\r\nConnection: close\r\n");
        send(client, format!("HTTP/1.1 200 OK\r\n{fields}\r\n").as_bytes())?;
        send(client, &car_header(&root))?;
        let (mut varint, mut rest) = (Vec::new(), length);
        while rest >= 0x80 {
            varint.push(u8::try_from(rest & 0x7f).unwrap() | 0x80);
            rest >>= 7;
        }
        varint.push(u8::try_from(rest).unwrap());
        send(client, &varint)?;
        send(client, &root.to_bytes())?;
        send(client, &noise(length - 1000, 3))?;
        gone(client)
    }
}

fn send(mut client: &TcpStream, bytes: &[u8]) -> io::Result<()> {
    client.write_all(bytes)
}

fn head(client: &TcpStream, status: u16, length: usize, fields: &str) -> io::Result<()> {
    let fields = format!("Connection: close\r\nContent-Length: {length}\r\n{fields}");
    let head = format!("HTTP/1.1 {status} Answer\r\n{fields}\r\n");
    send(client, head.as_bytes())
}

/// Says nothing more until the registry hangs up.
fn gone(mut client: &TcpStream) -> io::Result<()> {
    while client.read(&mut [0; 1024])? > 0 {}
    Err(io::ErrorKind::ConnectionAborted.into())
}

/// How many clients ask for each peer's content, how often each, and how many requests it sends each time.
const CLIENTS: usize = 2;
const ROUNDS: usize = 3;
const REQUESTS: usize = 3;

/// What a good client waits for at the most: only a server that is stopped takes that long.
const LATENCY: Duration = Duration::from_secs(20);

/// What the server may take more of memory than before, in bytes, and of files and connections.
const GROWTH: usize = 200 * MIB;
const FILES: usize = 1500;

/// A tree whose repository has a blob of some leaves, and so many tags whose names are so long.
fn tree(content: &[u8], tags: usize, length: usize) -> Node {
    let mut tree = tree_of(content, content);
    let names = (0..tags).map(|number| {
        let mut tag = Node::folder();
        tag.put("current/link", link(content));
        (format!("{number:0>5}{}", "n".repeat(length - 5)), tag)
    });
    let names: BTreeMap<_, _> = names.collect();
    tree.put(&format!("{REPOSITORY}/_manifests/tags"), Node::Folder(names));
    tree
}

/// Has many clients ask for everything that a publisher may have, who mostly do not wait for an answer.
fn ask_for_all(operators: &Operators, domain: &str, digest: &str) {
    let hostile = Repository::of(&operators.other, &format!("{domain}/team/app"));
    let targets = [
        ("GET", format!("blobs/{digest}"), ""),
        ("GET", format!("blobs/{digest}"), "bytes=1-2"),
        ("GET", format!("blobs/{digest}"), "bytes=1048570-1048580,3000000-3000009"),
        ("HEAD", format!("blobs/{digest}"), ""),
        ("GET", format!("blobs/{NOBODYS}"), ""),
        ("GET", format!("manifests/{digest}"), ""),
        ("GET", "manifests/v1".to_owned(), ""),
        ("GET", "tags/list".to_owned(), ""),
        ("GET", format!("referrers/{digest}"), ""),
    ];
    for round in 0..ROUNDS {
        let mut connections: Vec<_> = targets
            .iter()
            .flat_map(|target| std::iter::repeat_n(target, REQUESTS))
            .map(|(method, rest, range)| {
                let mut connection = Connection::open(&operators.other);
                let range = [("Range", *range)];
                let headers = if range[0].1.is_empty() { &[] } else { &range[..] };
                connection.ask(method, &hostile.path(rest), headers);
                connection
            })
            .collect();
        thread::sleep(Duration::from_millis(300));
        // One waits for what comes.
        let mut last = connections.remove(round * REQUESTS);
        connections.into_iter().for_each(Connection::reset);
        let _ = last.try_answer(false);
    }
}

#[test]
fn a_good_client_is_served_beside_publishers_that_do_every_kind_of_harm() {
    let Some(operators) = Operators::start() else { return };
    let content = noise(5 * MIB, 4);
    let good = Publisher::of(&tree(&content, 3, 5));
    good.publish(&operators);
    let foreign = operators.foreign("team/app");
    let own = Repository::of(&operators.other, "own/app");
    let blob = format!("blobs/{}", sha256(&content));
    wait(|| foreign.head(&blob).status == 200, "the good one is not found");

    let manners = [
        ("silent", Manner::Silent),
        ("stalling", Manner::Stalling(MIB - 1)),
        ("stalling2", Manner::Stalling(2 * MIB - 1)),
        ("halving", Manner::Halving),
        ("cutting", Manner::Cutting(20)),
        ("endless-head", Manner::EndlessHead),
        ("endless-block", Manner::EndlessBlock),
        ("long-names", Manner::Good),
    ];
    let hostile = noise(4 * MIB, 5);
    let digest = sha256(&hostile);
    let peers = manners.map(|(label, manner)| {
        let (tags, length) = if label == "long-names" { (200, 100_000) } else { (3, 5) };
        let peer = Peer::start(manner, &tree(&hostile, tags, length));
        let domain = peer.publish(&operators, label);
        (peer, domain)
    });
    let (files, bytes) = (descriptors(&operators.other), memory(&operators.other));
    let (mut slowest, mut most_files, mut most_bytes) = ((Duration::ZERO, ""), 0, 0);
    thread::scope(|scope| {
        let clients: Vec<_> = peers
            .iter()
            .flat_map(|peer| std::iter::repeat_n(peer, CLIENTS))
            .map(|(_, domain)| {
                let (operators, digest) = (&operators, &digest);
                scope.spawn(move || ask_for_all(operators, domain, digest))
            })
            .collect();
        for round in 0.. {
            let mut begun = Instant::now();
            let mut note = |what| {
                slowest = slowest.max((begun.elapsed(), what));
                begun = Instant::now();
            };
            assert_eq!(http::get(&operators.other.url("/healthz")).status, 200);
            note("/healthz");
            let pushed = own.push_image("good", &format!("round {round}"));
            note("a push");
            assert_eq!(own.get("manifests/good").body, pushed.manifest);
            note("a pull");
            // Other people's content, too; of the peers of others nothing is waited for.
            let leaf = round % 5 * MIB;
            let range = format!("bytes={}-{}", leaf + 10, leaf + 19);
            let part = foreign.send(reqwest::Method::GET, &blob, |it| it.header("Range", range));
            assert!(part.status == 206 && part.body == content[leaf + 10..leaf + 20], "{part:?}");
            note("a range of other people's content");
            assert_eq!(foreign.get("tags/list").status, 200);
            note("other people's tags");
            most_files = most_files.max(descriptors(&operators.other));
            most_bytes = most_bytes.max(memory(&operators.other));
            if clients.iter().all(thread::ScopedJoinHandle::is_finished) {
                break;
            }
        }
    });
    assert!(slowest.0 < LATENCY, "{slowest:?}");
    assert!(most_bytes < bytes + GROWTH, "{bytes} {most_bytes}");
    assert!(most_files < files + FILES, "{files} {most_files}");
    let whole = foreign.get(&blob);
    assert!(whole.status == 200 && whole.body == content, "{}", whole.status);
    // It ends, also where peers say nothing for ever.
    wait(|| metric(&operators.other, "roadstead_foreign_reads") == 0, "it still reads");
    wait(|| descriptors(&operators.other) <= files + 60, "files or connections stay open");
    assert!(peers.iter().all(|(peer, _)| peer.requests() > 0), "a peer was not asked");
    let log = operators.other.log();
    assert!(!log.contains("panicked"), "{log}");
}

#[test]
fn ranges_of_a_publisher_that_stalls_open_a_bounded_number_of_connections() {
    let Some(operators) = Operators::start() else { return };
    let content = noise(200 * MIB, 6);
    let peer = Peer::start(Manner::Halving, &tree_of(&content, &content));
    let domain = peer.publish(&operators, "a");
    let hostile = Repository::of(&operators.other, &format!("{domain}/team/app"));
    let blob = format!("blobs/{}", sha256(&content));
    wait(|| hostile.head(&blob).status == 200, "it is not found");
    let bytes = memory(&operators.other);
    let clients: Vec<_> = (0..180)
        .map(|leaf| {
            let mut client = Connection::open(&operators.other);
            let range = format!("bytes={}-{}", leaf * MIB, (leaf + 1) * MIB + 5);
            client.ask("GET", &hostile.path(&blob), &[("Range", &range)]);
            client
        })
        .collect();
    let (mut most, mut most_bytes) = (0, 0);
    for _ in 0..40 {
        (most, most_bytes) = (most.max(peer.open()), most_bytes.max(memory(&operators.other)));
        thread::sleep(Duration::from_millis(50));
    }
    assert!((1..=100).contains(&most), "{most} connections");
    assert!(most_bytes < bytes + 100 * MIB, "{bytes} {most_bytes}");
    clients.into_iter().for_each(Connection::reset);
    wait(|| peer.open() == 0, "the connections stay");
}

#[test]
fn a_slow_transfer_that_takes_all_of_the_room_makes_room_for_others() {
    let cache = |command: &mut std::process::Command| {
        command.env("ROADSTEAD_FEDERATION__CACHE_BYTES", "20000000");
    };
    let Some(operators) = Operators::start_with(cache) else { return };
    let content = noise(3 * MIB, 7);
    let good = Publisher::of(&tree_of(&content, &content));
    good.publish(&operators);
    let foreign = operators.foreign("team/app");
    let blob = format!("blobs/{}", sha256(&content));
    wait(|| foreign.head(&blob).status == 200, "the good one is not found");
    let long = noise(19 * MIB, 8);
    let peer = Peer::trickling(17, &long);
    let domain = peer.publish(&operators, "a");
    let hostile = Repository::of(&operators.other, &format!("{domain}/team/app"));
    let mut client = Connection::open(&operators.other);
    client.ask("GET", &hostile.path(&format!("blobs/{}", sha256(&long))), &[]);
    let begun = Instant::now();
    wait(|| peer.leaves() > 17, "it does not come");
    let whole = foreign.get(&blob);
    assert!(whole.status == 200 && whole.body == content, "{}", whole.status);
    assert!(begun.elapsed() < Duration::from_mins(1));
    // What a client left comes no more; and one that comes later is served.
    client.reset();
    wait(|| peer.open() == 0, "the transfer goes on");
    assert!(foreign.get(&blob).body == content);
}

#[test]
fn nothing_is_fetched_for_clients_that_have_it_or_have_left() {
    let Some(operators) = Operators::start() else { return };
    let content = noise(40 * MIB, 9);
    let peer = Peer::trickling(2, &content);
    let domain = peer.publish(&operators, "a");
    let hostile = Repository::of(&operators.other, &format!("{domain}/team/app"));
    let digest = sha256(&content);
    let blob = format!("blobs/{digest}");
    wait(|| hostile.head(&blob).status == 200, "it is not found");
    for tag in [format!("\"{digest}\""), "*".to_owned(), format!("W/\"{digest}\", \"x\"")] {
        for method in [reqwest::Method::GET, reqwest::Method::HEAD] {
            let known = hostile.send(method, &blob, |it| it.header(IF_NONE_MATCH, &tag));
            assert_eq!(known.status, 304, "{tag}: {}", known.text());
        }
    }
    assert_eq!(peer.leaves(), 0);
    // Whole, to the end, and by parts: each is left after its first bytes.
    for range in ["", "bytes=0-", "bytes=5-"] {
        let mut client = Connection::open(&operators.other);
        let range = [("Range", range)];
        let headers = if range[0].1.is_empty() { &[] } else { &range[..] };
        client.ask("GET", &hostile.path(&blob), headers);
        let mut buffer = [0; 4096];
        assert!(client.read_some(&mut buffer) > 0);
        client.reset();
        wait(|| peer.open() == 0, "it goes on");
        assert!(peer.leaves() < 30, "{} leaves", peer.leaves());
    }
    wait(|| metric(&operators.other, "roadstead_foreign_reads") == 0, "it still reads");
    let fetched = peer.leaves();
    thread::sleep(Duration::from_millis(500));
    assert_eq!(peer.leaves(), fetched, "it goes on");
}

/// How many files are below a folder, and how much of the disk they take.
fn taken(folder: &Path) -> (usize, u64) {
    let Ok(entries) = fs::read_dir(folder) else { return (0, 0) };
    let mut taken = (0, 0);
    for entry in entries.flatten() {
        let Ok(metadata) = entry.path().symlink_metadata() else { continue };
        let below = if metadata.is_dir() { self::taken(&entry.path()) } else { (1, 0) };
        taken.0 += below.0;
        taken.1 += below.1 + metadata.blocks() * 512;
    }
    taken
}

#[test]
fn a_cache_of_tiny_files_and_of_many_names_takes_no_more_than_its_limits() {
    let limits = |command: &mut std::process::Command| {
        command
            .env("ROADSTEAD_FEDERATION__CACHE_FILES", "100")
            .env("ROADSTEAD_FEDERATION__CACHE_ROOT_PERCENT", "100")
            .env("ROADSTEAD_DNSLINK__MAX_NEW_NAMES_PER_CLIENT", "100000")
            .env("ROADSTEAD_DNSLINK__MAX_NEW_NAMES", "100000");
    };
    let Some(operators) = Operators::start_with(limits) else { return };
    let mut tree = Node::folder();
    let contents: Vec<_> = (0..400).map(|number| format!("content {number:0>192}")).collect();
    for content in &contents {
        publisher::add(&mut tree, content.as_bytes(), content.as_bytes());
    }
    let peer = Peer::start(Manner::Good, &tree);
    let link = format!("dnslink=/ipfs/{}", peer.root);
    let record = |number: &usize| {
        let (name, hint) = (format!("_dnslink.n{number}.{DOMAIN} 60 TXT"), &peer.hint);
        format!("update add {name} \"{link}\"\nupdate add {name} \"ipfsnode={hint}\"\n")
    };
    for numbers in (0..200).collect::<Vec<_>>().chunks(50) {
        operators.dns.update(DOMAIN, &numbers.iter().map(record).collect::<String>());
    }
    let get = |number: usize, content: &str| {
        let name = format!("n{number}.{DOMAIN}/team/app");
        let repository = Repository::of(&operators.other, &name);
        let answer = repository.get(&format!("blobs/{}", sha256(content.as_bytes())));
        assert!(answer.status == 200 && answer.body == content.as_bytes(), "{}", answer.text());
    };
    wait(
        || {
            let name = format!("n0.{DOMAIN}/team/app");
            let digest = sha256(contents[0].as_bytes());
            let repository = Repository::of(&operators.other, &name);
            repository.get(&format!("blobs/{digest}")).status == 200
        },
        "it is not found",
    );
    thread::scope(|scope| {
        for worker in 0..4 {
            let (get, contents) = (&get, &contents);
            scope.spawn(move || {
                for number in (worker..200).step_by(4) {
                    // One content by many names, and many by one.
                    get(number, &contents[0]);
                    get(0, &contents[2 * number]);
                    get(1, &contents[2 * number + 1]);
                }
            });
        }
    });
    let cache = operators.other.data().join("cache");
    let files = || taken(&cache.join("sha256")).0 + taken(&cache.join("notes")).0;
    // Each content has its file and its notes.
    wait(|| files() <= 2 * 110, "the limits are exceeded");
    let counted = metric(&operators.other, "roadstead_cache_bytes");
    let (_, room) = taken(&cache.join("sha256"));
    assert!(counted > 0 && room < 4 * counted + 4 * MIB as u64, "{counted} {room}");
    get(5, &contents[0]);
}
