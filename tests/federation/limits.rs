//! How much of other people's content is read at once, whatever its publishers do.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use roadstead::ipld::{Block, car_header};

use crate::common::connection::Connection;
use crate::common::content::{noise, sha256};
use crate::common::http;
use crate::common::repository::{Repository, wait};
use crate::federation::hostile::{Node, REPOSITORY, link};
use crate::federation::operators::{DOMAIN, Operators};
use crate::federation::publisher::{Publisher, tree_of};

/// A gateway that answers everything by an archive whose first block is nearly 1 MiB long, all but its end at once
/// and that very slowly.
struct Dripping {
    hint: String,
    requests: Arc<AtomicUsize>,
}

impl Dripping {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let hint = format!("/ip4/127.0.0.1/tcp/{}/http", listener.local_addr().unwrap().port());
        let requests = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&requests);
        thread::spawn(move || {
            for client in listener.incoming() {
                let (Ok(client), counted) = (client, Arc::clone(&counted)) else { continue };
                thread::spawn(move || {
                    counted.fetch_add(1, Ordering::SeqCst);
                    drip(client)
                });
            }
        });
        Self { hint, requests }
    }
}

fn drip(mut client: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    let root = Block::raw(b"root".to_vec().into()).cid;
    let kind = "application/vnd.ipld.car; version=1; order=dfs; dups=y";
    write!(client, "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nConnection: close\r\n\r\n")?;
    client.write_all(&car_header(&root))?;
    // How long the section is: 1 MiB less a byte, CID included.
    client.write_all(&[0xff, 0xff, 0x3f])?;
    client.write_all(&root.to_bytes())?;
    client.write_all(&noise((1 << 20) - 200_000, 3))?;
    for _ in 0..100 {
        client.write_all(&[0; 1000])?;
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// The most memory that the process has ever had.
fn peak_kib(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux says it");
    line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}

#[test]
fn a_hostile_publisher_takes_neither_memory_nor_the_places_of_others() {
    let Some(operators) = Operators::start() else { return };
    let dripping: Vec<_> = (0..4).map(|_| Dripping::start()).collect();
    let root = Block::raw(b"root".to_vec().into()).cid;
    let mut update = format!("update add _dnslink.a.{DOMAIN} 1 TXT \"dnslink=/ipfs/{root}\"\n");
    for gateway in &dripping {
        let hint = &gateway.hint;
        writeln!(update, "update add _dnslink.a.{DOMAIN} 1 TXT \"ipfsnode={hint}\"").unwrap();
    }
    operators.dns.update(DOMAIN, &update);
    let content = noise(3_000_000, 4);
    let good = Publisher::of(&tree_of(&content, &content));
    good.publish(&operators);
    let foreign = operators.foreign("team/app");
    let head = || foreign.head(&format!("blobs/{}", sha256(&content))).status;
    wait(|| head() == 200, "the good one is not found");

    let before = peak_kib(operators.other.id());
    let hostile = Repository::of(&operators.other, &format!("a.{DOMAIN}/team/app"));
    let mut clients: Vec<_> = (0..100)
        .map(|number: u32| {
            let mut client = Connection::open(&operators.other);
            let digest = sha256(&number.to_be_bytes());
            // Half of them want a manifest, which comes as content does.
            let kind = if number.is_multiple_of(2) { "blobs" } else { "manifests" };
            client.ask("GET", &hostile.path(&format!("{kind}/{digest}")), &[]);
            client
        })
        .collect();
    let requests = || dripping.iter().map(|it| it.requests.load(Ordering::SeqCst)).sum::<usize>();
    wait(|| requests() >= 8, "nothing is read");
    // Meanwhile others are served.
    let whole = foreign.get(&format!("blobs/{}", sha256(&content)));
    assert!(whole.status == 200 && whole.body == content, "{}", whole.status);
    let answers: Vec<_> = clients.iter_mut().map(Connection::answer).collect();
    let busy = answers.iter().filter(|answer| answer.status == 503).collect::<Vec<_>>();
    assert!(!busy.is_empty(), "none was refused");
    assert!(busy.iter().all(|answer| answer.header("retry-after").is_some()));
    assert!(answers.iter().all(|answer| matches!(answer.status, 502..=504)));
    let grown = peak_kib(operators.other.id()) - before;
    assert!(grown < 200 * 1024, "100 requests took {grown} KiB");
    let metrics = http::get(&operators.other.url("/metrics")).text();
    assert!(!metrics.contains("\nroadstead_foreign_reads_refused_total 0\n"), "{metrics}");
}

#[test]
fn names_that_no_disk_has_are_not_listed() {
    let Some(operators) = Operators::start() else { return };
    let mut tree = Node::folder();
    for number in 0..200 {
        let tag = format!("{number:0>3000}");
        tree.put(&format!("{REPOSITORY}/_manifests/tags/{tag}/current/link"), link(b"x"));
    }
    let publisher = Publisher::of(&tree);
    publisher.publish(&operators);
    let foreign = operators.foreign("team/app");
    wait(|| foreign.get("tags/list").status == 200, "it is not listed");
    assert_eq!(foreign.get("tags/list").json()["tags"], serde_json::json!([]));
}
