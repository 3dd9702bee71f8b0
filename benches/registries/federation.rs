//! Images of somebody else's, pulled through a registry that knows the domain alone, beside two Kubo nodes that
//! hand the same content to each other.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::client::Client;
use crate::common::{Bind, KuboNode, Pair, Postgres, Server, succeed};
use crate::content::{Content, EMPTY, digest, image_of};
use crate::far::Far;
use crate::subject::{Subject, peak_memory_of};
use crate::table::{Figures, Row};
use crate::{Arguments, MB, distant, rounds, rows, timed};

/// Where the images are.
const REPOSITORY: &str = "bench/image";

/// The image: so many layers of so many megabytes.
const LAYERS: usize = 10;
const SIZE: usize = 20;

/// How many layers are pulled at a time, as docker does.
const AT_ONCE: usize = 3;

/// How far away the peer is whose first byte is waited for.
pub(crate) const ROUND_TRIP: Duration = Duration::from_millis(50);

/// Whom the other figures belong to.
const NODES: &str = "ipfs get, node to node";
const NEAR: &str = "the same without the distance";
const OWN: &str = "an image of its own";

/// An operator that publishes.
pub(crate) struct Publisher {
    pub(crate) domain: &'static str,
    pub(crate) server: Server,
    goal: &'static str,
}

/// All that takes part.
pub(crate) struct World {
    dns: Bind,
    pub(crate) publishers: [Publisher; 2],
    /// The node of the second publisher, and another one.
    nodes: [KuboNode; 2],
    layers: Vec<Content>,
    /// The CIDs of the layers.
    cids: Vec<String>,
    /// The most memory that any registry which pulled held, in MiB.
    peaks: Mutex<Vec<f64>>,
    _postgres: Postgres,
}

type Phase = fn(&World, &Arguments) -> Vec<Row>;

/// Measures all; skips where there is no Kubo, no Postgres or no name server.
pub(crate) fn measure(arguments: &Arguments) -> Vec<Row> {
    let Some(world) = World::start() else { return Vec::new() };
    let mut found = Vec::new();
    let phases: [(&str, Phase); 4] = [
        ("cold", World::cold_pulls),
        ("first", World::first_byte),
        ("warm", World::warm),
        ("distant", distant::measure),
    ];
    for (name, phase) in phases {
        if name.contains(&arguments.only) {
            found.extend(phase(&world, arguments));
        }
    }
    let memory = Subject::other("Roadstead", "");
    let peaks = [world.peaks.into_inner().expect("nobody panicked")];
    found.extend(rows(
        "peak memory of who pulls",
        &[("Roadstead", "≤ 64 MB")],
        "MiB",
        &[&memory],
        &peaks,
    ));
    found
}

impl World {
    fn start() -> Option<Self> {
        let domains = ["embedded.test", "kubo.test"];
        let dns = Bind::start(&domains.map(|domain| (domain, "")))?;
        let nodes = [KuboNode::start()?, KuboNode::plan().set("Gateway.NoFetch", "false").start()?];
        let postgres = Postgres::start(&[])?;
        let pair = Pair::make_on(&nodes[0].api(), &nodes[0].gateway(), &postgres.url());
        let publishers = [
            Publisher { domain: domains[0], server: Server::start_embedded(), goal: "≥ 3" },
            Publisher {
                domain: domains[1],
                server: Server::start_over(&Arc::new(pair), |_| {}),
                goal: "≥ 2",
            },
        ];
        let mut world = Self {
            dns,
            publishers,
            nodes,
            layers: (0..LAYERS).map(|_| Content::new(SIZE * MB)).collect(),
            cids: Vec::new(),
            peaks: Mutex::default(),
            _postgres: postgres,
        };
        for publisher in &world.publishers {
            Self::push(publisher.server.address(), REPOSITORY, &world.layers);
            world.publish(publisher.domain, &publisher.server, publisher.server.address());
        }
        let publisher = world.publishers[1].server.address();
        world.cids = world.layers.iter().map(|layer| cid(publisher, &layer.digest)).collect();
        world.connect();
        Some(world)
    }

    /// Pushes the image.
    pub(crate) fn push(address: &str, repository: &str, layers: &[Content]) {
        let mut client = Client::open(address);
        for layer in layers {
            client.push(repository, &layer.digest, &layer.bytes);
        }
        client.push(repository, &digest(EMPTY), EMPTY);
        let layers: Vec<_> =
            layers.iter().map(|layer| (layer.digest.clone(), layer.bytes.len())).collect();
        client.push_manifest(repository, "v1", image_of(&layers).as_bytes());
    }

    /// Writes the root of a publisher into the DNS, and where it is reached.
    pub(crate) fn publish(&self, domain: &str, server: &Server, address: &str) {
        let root = succeed(&mut server.command(["root"]));
        let (ip, port) = address.split_once(':').expect("it has a port");
        let commands = format!(
            "update delete _dnslink.{domain} TXT\n\
             update add _dnslink.{domain} 60 TXT \"dnslink=/ipfs/{}\"\n\
             update add _dnslink.{domain} 60 TXT \"ipfsnode=/ip4/{ip}/tcp/{port}/http\"",
            root.trim()
        );
        self.dns.update(domain, &commands);
    }

    /// A registry that knows nothing but its name server.
    pub(crate) fn puller(&self) -> Server {
        self.puller_with(&[])
    }

    /// The same, with more settings, as the environment has them.
    pub(crate) fn puller_with(&self, settings: &'static [(&str, &str)]) -> Server {
        let servers = self.dns.address();
        Server::start_with(move |command| {
            command
                .envs(settings.iter().copied())
                .env("ROADSTEAD_DNSLINK__SERVERS", &servers)
                .env("ROADSTEAD_DNSLINK__ALLOW_PRIVATE_ADDRESSES", "true");
        })
    }

    /// Notes how much memory a registry took.
    pub(crate) fn weigh(&self, server: &Server) {
        self.peaks.lock().expect("nobody panicked").extend(peak_memory_of(server.id()));
    }

    /// Has the second node know the first.
    fn connect(&self) {
        let identity: Value =
            serde_json::from_str(&self.nodes[0].ipfs(["id"])).expect("it tells JSON");
        let addresses = identity["Addresses"].as_array().expect("it listens");
        let address =
            addresses.iter().filter_map(Value::as_str).find(|it| it.contains("/127.0.0.1/"));
        self.nodes[1].ipfs(["swarm", "connect", address.expect("it listens on loopback")]);
    }

    fn cold_pulls(&self, arguments: &Arguments) -> Vec<Row> {
        self.publishers.iter().flat_map(|publisher| self.cold(arguments, publisher)).collect()
    }

    /// An image that nobody pulled before.
    fn cold(&self, arguments: &Arguments, publisher: &Publisher) -> Vec<Row> {
        let subjects = [Subject::other("Roadstead", ""), Subject::other(NODES, "")];
        let subjects: Vec<&Subject> = subjects.iter().collect();
        let folder = TempDir::new_in(&arguments.folder).expect("a folder can be made");
        let repository = format!("{}/{REPOSITORY}", publisher.domain);
        let figures = rounds(
            arguments.rounds,
            &subjects,
            || (),
            |subject| {
                if subject.name == NODES {
                    return self.get(folder.path());
                }
                let server = self.puller();
                // Nobody pays for what the one before left to the disk.
                rustix::fs::sync();
                let seconds = timed(|| self.pull(server.address(), &repository));
                self.weigh(&server);
                megabytes() / seconds
            },
        );
        let work = format!("cold pull of 10 layers of 20 MB from {}", publisher.domain);
        rows(&work, &[(NODES, publisher.goal)], "MB/s", &subjects, &figures)
    }

    /// Pulls the image as docker does.
    fn pull(&self, address: &str, repository: &str) {
        Client::open(address).get(&format!("/v2/{repository}/manifests/v1"));
        at_once(
            &self.layers,
            || (),
            |(), layer| {
                Client::open(address).get(&format!("/v2/{repository}/blobs/{}", layer.digest));
            },
        );
    }

    /// Has the second node get the layers from the first, at the same width; returns megabytes per second.
    fn get(&self, folder: &Path) -> f64 {
        self.nodes[1].rpc("repo/gc", &[("silent", "true")]);
        self.connect();
        rustix::fs::sync();
        let seconds = timed(|| {
            at_once(
                &self.cids,
                || (),
                |(), cid| {
                    let file = folder.join(cid);
                    let file = file.to_str().expect("its name is a CID");
                    self.nodes[1].ipfs(["get", "--progress=false", "--output", file, cid]);
                },
            );
        });
        for cid in &self.cids {
            fs::remove_file(folder.join(cid)).expect("it was got");
        }
        megabytes() / seconds
    }

    /// The first byte of a blob that nobody pulled before, from a publisher that is far away.
    fn first_byte(&self, arguments: &Arguments) -> Vec<Row> {
        let publisher = &self.publishers[0];
        let subjects = [Subject::other("Roadstead", ""), Subject::other(NEAR, "")];
        let subjects: Vec<&Subject> = subjects.iter().collect();
        let target =
            format!("/v2/{}/{REPOSITORY}/blobs/{}", publisher.domain, self.layers[0].digest);
        let figures = rounds(
            arguments.rounds,
            &subjects,
            || (),
            |subject| {
                let away = if subject.name == NEAR { Duration::ZERO } else { ROUND_TRIP };
                let far = Far::from(publisher.server.address(), away);
                self.publish(publisher.domain, &publisher.server, &far.address());
                let server = self.puller();
                let waited = until_first_byte(server.address(), &target);
                self.weigh(&server);
                waited.as_secs_f64() * 1e3
            },
        );
        self.publish(publisher.domain, &publisher.server, publisher.server.address());
        let work = "first byte of a cold blob, 50 ms away";
        let mut found = rows(work, &[], "ms", &subjects, &figures);
        let beyond = |(far, near): (&f64, &f64)| (far - near) / (ROUND_TRIP.as_secs_f64() * 1e3);
        let trips = figures[0].iter().zip(&figures[1]).map(beyond).collect();
        found.push(Row {
            work: format!("{work}: round trips"),
            goal: "≤ 2".to_owned(),
            subject: "Roadstead".to_owned(),
            figure: (Figures::new(trips), ""),
            ratio: None,
        });
        found
    }

    /// An image that was pulled before, beside one that the registry has itself.
    fn warm(&self, arguments: &Arguments) -> Vec<Row> {
        let subjects = [Subject::other("Roadstead", ""), Subject::other(OWN, "")];
        let subjects: Vec<&Subject> = subjects.iter().collect();
        let server = self.puller();
        Self::push(server.address(), REPOSITORY, &self.layers);
        let foreign = format!("{}/{REPOSITORY}", self.publishers[0].domain);
        let figures = rounds(
            arguments.rounds,
            &subjects,
            || (),
            |subject| {
                let repository = if subject.name == OWN { REPOSITORY } else { &foreign };
                megabytes() / timed(|| self.pull(server.address(), repository))
            },
        );
        self.weigh(&server);
        let work = "warm pull of 10 layers of 20 MB";
        rows(work, &[(OWN, "≥ 0.83")], "MB/s", &subjects, &figures)
    }
}

/// How many megabytes an image has.
fn megabytes() -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "a figure of three digits")]
    let megabytes = (LAYERS * SIZE) as f64;
    megabytes
}

/// Works through a list, some at a time, each worker with a tool of its own.
pub(crate) fn at_once<Item: Sync, Tool>(
    items: &[Item],
    tool: impl Fn() -> Tool + Sync,
    work: impl Fn(&mut Tool, &Item) + Sync,
) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                let mut tool = tool();
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    work(&mut tool, item);
                }
            });
        }
    });
}

/// Asks for something, and waits for the first byte of it.
fn until_first_byte(address: &str, target: &str) -> Duration {
    let mut stream = TcpStream::connect(address).expect("the server listens");
    let begun = Instant::now();
    let request = format!("GET {target} HTTP/1.1\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("the server reads");
    let (mut came, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let size = stream.read(&mut buffer).expect("the server answers");
        assert!(size > 0, "{}", String::from_utf8_lossy(&came));
        came.extend_from_slice(&buffer[..size]);
        let head = came.windows(4).position(|four| four == b"\r\n\r\n");
        if head.is_some_and(|head| came.len() > head + 4) {
            assert!(came.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&came));
            return begun.elapsed();
        }
    }
}

/// The CID of a blob.
fn cid(address: &str, digest: &str) -> String {
    let url = format!("http://{address}/v2/{REPOSITORY}/blobs/{digest}");
    let answer = crate::common::http::send(|client| client.head(&url));
    let path = answer.header("x-ipfs-path");
    path.strip_prefix("/ipfs/").expect("a blob tells its CID").to_owned()
}
