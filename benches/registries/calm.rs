//! How soon `/healthz` and manifests are answered while the server counts its cache, evicts from it, and hashes a
//! long blob of somebody else's: work that must not stand in the way of others.

use std::fs::{self, File};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use roadstead::oci::{Algorithm, CanonicalDigest, Hasher};

use crate::client::{Body, Client};
use crate::common::{Bind, Server, http, succeed};
use crate::content::{Content, EMPTY, digest, image};
use crate::subject::{Settings, Subject};
use crate::table::{Figures, Row};
use crate::{Arguments, MANIFEST_TYPE};

const DOMAIN: &str = "far.test";
const REPOSITORY: &str = "bench/calm";
const TAGGED: &str = "/v2/bench/calm/manifests/v1";

/// How many files are in the cache at the full size.
const FILES: usize = 1_000_000;

/// The piece of which the long blob is made, and how many there are at the full size: 10 GB.
const PIECE: usize = 50_000_000;
const PIECES: usize = 200;

/// How long the server is watched while it does nothing else.
const REST: Duration = Duration::from_secs(5);

/// Between two requests of the watcher.
const PAUSE: Duration = Duration::from_millis(2);

/// How long any of the work may take.
const LIMIT: Duration = Duration::from_mins(20);

/// Measures all; skips where there is no name server.
pub(crate) fn measure(arguments: &Arguments) -> Vec<Row> {
    let Some(dns) = Bind::start(&[(DOMAIN, "")]) else { return Vec::new() };
    let files = FILES * arguments.percent / 100;
    let pieces = (PIECES * arguments.percent / 100).max(1);
    let settings = Settings::default();
    let set = |name, value: String| settings.lock().expect("nobody panicked").push((name, value));
    set("ROADSTEAD_DNSLINK__SERVERS", dns.address());
    set("ROADSTEAD_DNSLINK__ALLOW_PRIVATE_ADDRESSES", "true".to_owned());
    // Room for the files, and for the long blob whatever its share of the cache.
    set("ROADSTEAD_FEDERATION__CACHE_BYTES", "100000000000".to_owned());
    let mut server = Subject::roadstead_with(&arguments.folder, settings.clone());
    push(&server.address);

    let mut found = vec![row("at rest", &watch(&server.address, || thread::sleep(REST)))];
    let (work, latencies) = hash(pieces, &dns, &server);
    found.push(row(&work, &latencies));

    server.stop();
    let cache = server.data().expect("it has a folder").join("cache");
    fill(&cache, files);
    let address = server.address.clone();
    // Nothing is evicted yet: the long blob is in the cache beside the files.
    set("ROADSTEAD_FEDERATION__CACHE_FILES", (files * 2).to_string());
    server.launch();
    let begun = Instant::now();
    while Client::try_open(&address).is_err() {
        assert!(begun.elapsed() < LIMIT, "it does not start");
        thread::sleep(Duration::from_millis(1));
    }
    let counted = || until(&address, |counted| counted >= files as u64);
    let work = format!("a start with {files} files in the cache");
    found.push(row(&work, &watch(&address, counted)));

    server.stop();
    let rest = files * 4 / 5;
    set("ROADSTEAD_FEDERATION__CACHE_FILES", rest.to_string());
    server.launch();
    while Client::try_open(&address).is_err() {
        thread::sleep(Duration::from_millis(1));
    }
    let evicted = || {
        let begun = Instant::now();
        while file_count(&cache) > rest {
            assert!(begun.elapsed() < LIMIT, "{} files", file_count(&cache));
            thread::sleep(Duration::from_millis(100));
        }
    };
    let work = format!("at least {} of them are evicted", files - rest);
    found.push(row(&work, &watch(&address, evicted)));
    found
}

fn push(address: &str) {
    let mut client = Client::open(address);
    client.push(REPOSITORY, &digest(b"layer"), b"layer");
    client.push(REPOSITORY, &digest(EMPTY), EMPTY);
    let manifest = image(&digest(b"layer"), 5);
    client.push_manifest(REPOSITORY, "v1", manifest.as_bytes());
}

/// Asks for a long blob of somebody else's by its SHA-512, which nobody has noted, so that it is hashed.
fn hash(pieces: usize, dns: &Bind, server: &Subject) -> (String, Vec<f64>) {
    let publisher = Server::start_embedded();
    let content = Content::new(PIECE);
    let whole = content.digest_of(pieces);
    let mut hasher = Hasher::new(Algorithm::Sha512);
    (0..pieces).for_each(|_| hasher.update(&content.bytes));
    let by_sha512 = hasher.finish().to_string();
    let size = PIECE * pieces;
    let mut client = Client::open(publisher.address());
    client.push(REPOSITORY, &digest(EMPTY), EMPTY);
    client.push_streamed(REPOSITORY, &by_sha512, &content.bytes, pieces);
    client.push_manifest(REPOSITORY, "v1", image(&by_sha512, size).as_bytes());
    // The publisher has it by its SHA-256 too: so it is fetched, and kept, without the other digest.
    let target = format!("/v2/{REPOSITORY}/blobs/uploads/?mount={whole}&from={REPOSITORY}");
    client.ask("POST", &target, &[], Body::Whole(b""));
    let root = succeed(&mut publisher.command(["root"]));
    let (ip, port) = publisher.address().split_once(':').expect("it has a port");
    dns.update(
        DOMAIN,
        &format!(
            "update add _dnslink.{DOMAIN} 60 TXT \"dnslink=/ipfs/{}\"\n\
             update add _dnslink.{DOMAIN} 60 TXT \"ipfsnode=/ip4/{ip}/tcp/{port}/http\"",
            root.trim()
        ),
    );
    let address = &server.address;
    Client::open(address).get(&format!("/v2/{DOMAIN}/{REPOSITORY}/manifests/v1"));
    let latencies = watch(address, || {
        let target = format!("/v2/{DOMAIN}/{REPOSITORY}/blobs/{by_sha512}");
        let size = Client::open(address).get(&target);
        assert_eq!(size, PIECE * pieces);
    });
    (format!("a foreign blob of {} MB comes by its SHA-512", size / 1_000_000), latencies)
}

/// Fills the cache of a server that does not run; each file was used a second after the one before it.
fn fill(cache: &Path, files: usize) {
    let shards = cache.join("sha256");
    for byte in 0..=255_u8 {
        fs::create_dir_all(shards.join(format!("{byte:02x}"))).expect("a folder can be made");
    }
    let first = SystemTime::now() - Duration::from_secs(files as u64 + 3600);
    for number in 0..files {
        let content = format!("small file {number}");
        let digest = CanonicalDigest::of(content.as_bytes());
        let hex = digest.hex();
        let path = shards.join(&hex[..2]).join(hex);
        fs::write(&path, content).expect("a file can be written");
        let used = first + Duration::from_secs(number as u64);
        File::open(&path).and_then(|file| file.set_modified(used)).expect("it is ours");
    }
}

fn file_count(cache: &Path) -> usize {
    let shards = fs::read_dir(cache.join("sha256")).expect("it was filled");
    let count = |shard: fs::DirEntry| fs::read_dir(shard.path()).map_or(0, Iterator::count);
    shards.map(|shard| shard.map_or(0, count)).sum()
}

/// Waits until the number of files in the cache is such.
fn until(address: &str, is_so: impl Fn(u64) -> bool) {
    let begun = Instant::now();
    let url = format!("http://{address}/metrics");
    loop {
        let text = http::get(&url).text();
        let files = text.lines().find_map(|line| line.strip_prefix("roadstead_cache_files "));
        if files.and_then(|files| files.parse().ok()).is_some_and(&is_so) {
            return;
        }
        assert!(begun.elapsed() < LIMIT, "{files:?} files");
        thread::sleep(Duration::from_millis(50));
    }
}

/// Asks for health and for a manifest, one after the other, while the work is done; returns how long each answer
/// took, in milliseconds.
fn watch(address: &str, work: impl FnOnce() + Send) -> Vec<f64> {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut client = Client::open(address);
            let mut latencies = Vec::new();
            while !is_over.load(Ordering::Relaxed) {
                for target in ["/healthz", TAGGED] {
                    let begun = Instant::now();
                    let headers = [("Accept", MANIFEST_TYPE)];
                    let answer = client.ask("GET", target, &headers, Body::Whole(b""));
                    assert_eq!(answer.status, 200, "{target}");
                    latencies.push(begun.elapsed().as_secs_f64() * 1e3);
                    thread::sleep(PAUSE);
                }
            }
            latencies
        });
        work();
        is_over.store(true, Ordering::Relaxed);
        watcher.join().expect("it does not panic")
    })
}

/// The latency below which 99 of 100 answers stay.
fn row(work: &str, latencies: &[f64]) -> Row {
    let mut latencies = latencies.to_vec();
    latencies.sort_by(f64::total_cmp);
    let slow = latencies[latencies.len() * 99 / 100];
    Row {
        work: format!("{work}: p99 of {} answers", latencies.len()),
        goal: "≤ 50 ms".to_owned(),
        subject: "Roadstead".to_owned(),
        figure: (Figures::new(vec![slow]), "ms"),
        ratio: None,
    }
}
