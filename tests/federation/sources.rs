//! Images that come by way of Kubo nodes: the operator's, and those that a publisher names.

use std::process::Command;
use std::time::Duration;

use crate::common::content::{image, noise, sha256};
use crate::common::repository::{Pushed, Repository, assert_refused, wait};
use crate::common::{Bind, KuboNode, Server, free_address, roadstead, succeed};
use crate::federation::operators::DOMAIN;
use crate::kubo::proxy::Proxy;

/// A publisher whose images are in a Kubo node, of which the DNS names nothing but that node; and another node.
struct Nodes {
    publisher: Server,
    theirs: KuboNode,
    ours: KuboNode,
    dns: Bind,
}

/// Has a registry keep its images in a node.
fn over(node: &KuboNode) -> impl Fn(&mut Command) + Send + Sync + use<> {
    let (api, gateway) = (node.api(), node.gateway());
    move |command| {
        command
            .env("ROADSTEAD_STORAGE__DRIVER", "kubo")
            .env("ROADSTEAD_STORAGE__KUBO__API", &api)
            .env("ROADSTEAD_STORAGE__KUBO__GATEWAY", &gateway)
            .env("ROADSTEAD_INDEX__URL", "sqlite:index.sqlite");
    }
}

/// Where a node listens for others, with its id, and the id.
fn listens(node: &KuboNode) -> (String, String) {
    let about = node.rpc("id", &[]).json();
    let address = about["Addresses"][0].as_str().unwrap().to_owned();
    (address, about["ID"].as_str().unwrap().to_owned())
}

/// Whether a node keeps another one as its peer.
fn is_peer(node: &KuboNode, id: &str) -> bool {
    node.rpc("swarm/peering/ls", &[]).text().contains(id)
}

fn is_connected(node: &KuboNode, id: &str) -> bool {
    node.rpc("swarm/peers", &[]).text().contains(id)
}

impl Nodes {
    fn start() -> Option<Self> {
        let dns = Bind::start(&[(DOMAIN, "")])?;
        let (theirs, ours) = (KuboNode::start()?, KuboNode::start()?);
        let publisher = Server::start_with(over(&theirs));
        Some(Self { publisher, theirs, ours, dns })
    }

    fn push(&self, tag: &str, layer: &[u8]) -> Pushed {
        let own = Repository::of(&self.publisher, "team/app");
        own.push_blob(layer);
        own.push_blob(b"{}");
        let manifest = own.push_manifest(tag, &image(b"{}", &[layer]));
        Pushed {
            digest: sha256(&manifest),
            manifest,
            config: b"{}".to_vec(),
            layer: layer.to_vec(),
        }
    }

    fn publish(&self, hints: &[&str]) {
        let mut command = self.publisher.command(["root"]);
        over(&self.theirs)(&mut command);
        let root = succeed(&mut command);
        let link = format!("dnslink=/ipfs/{}", root.trim());
        let hints = hints.iter().map(|hint| format!("ipfsnode={hint}"));
        let add = |text| format!("update add _dnslink.{DOMAIN} 1 TXT \"{text}\"\n");
        let update: String = std::iter::once(link).chain(hints).map(add).collect();
        let update = format!("update delete _dnslink.{DOMAIN} TXT\n{update}");
        self.dns.update(DOMAIN, &update);
    }

    /// Says where names are looked up.
    fn lab(&self) -> impl Fn(&mut Command) + Send + Sync + use<> {
        let servers = self.dns.address();
        move |command| {
            command
                .env("ROADSTEAD_DNSLINK__SERVERS", &servers)
                .env("ROADSTEAD_DNSLINK__TTL_FLOOR", "1s")
                .env("ROADSTEAD_DNSLINK__ALLOW_PRIVATE_ADDRESSES", "true");
        }
    }

    /// A registry with a disk of its own that fetches through a node at `api`.
    fn embedded(&self, api: &str, more: &[(&'static str, &'static str)]) -> Server {
        let (lab, api, more) = (self.lab(), api.to_owned(), more.to_vec());
        Server::start_with(move |command| {
            lab(command);
            command.env("ROADSTEAD_FEDERATION__KUBO__API", &api).envs(more.clone());
        })
    }
}

fn foreign(server: &Server) -> Repository<'_> {
    Repository::of(server, &format!("{DOMAIN}/team/app"))
}

fn assert_pulled(server: &Server, pushed: &Pushed) {
    let foreign = foreign(server);
    for reference in ["v1", &pushed.digest] {
        let found = foreign.get(&format!("manifests/{reference}"));
        assert_eq!((found.status, &found.body), (200, &pushed.manifest), "{}", found.text());
    }
    for blob in [&pushed.layer, &pushed.config] {
        let found = foreign.get(&format!("blobs/{}", sha256(blob)));
        assert!(found.status == 200 && &found.body == blob, "{}", found.status);
    }
}

#[test]
fn over_a_node_an_image_comes_from_the_node_that_the_publisher_names() {
    let Some(nodes) = Nodes::start() else { return };
    let pushed = nodes.push("v1", &noise(3_000_000, 1));
    let (address, id) = listens(&nodes.theirs);
    // It does not listen everywhere that it says.
    nodes.publish(&[&format!("/ip4/127.0.0.1/tcp/1/p2p/{id}"), &address]);
    let (lab, over) = (nodes.lab(), over(&nodes.ours));
    let other = Server::start_with(move |command| {
        lab(command);
        over(command);
    });
    assert!(!is_peer(&nodes.ours, &id));
    assert_pulled(&other, &pushed);
    wait(|| is_peer(&nodes.ours, &id), "it is no peer");
    assert_eq!(foreign(&other).get("tags/list").json()["tags"], serde_json::json!(["v1"]));
}

#[test]
fn a_publishers_node_is_met_once_and_left_after_a_while() {
    let Some(nodes) = Nodes::start() else { return };
    let pushed = nodes.push("v1", b"layer");
    let (address, id) = listens(&nodes.theirs);
    nodes.publish(&[&address]);
    let proxy = Proxy::before(&nodes.ours.api());
    let mut other = nodes.embedded(&proxy.url(), &[]);
    assert_pulled(&other, &pushed);
    let met = |commands: &[String]| {
        let count = |command: &str| commands.iter().filter(|it| *it == command).count();
        (count("swarm/peering/add"), count("swarm/connect"))
    };
    let commands = proxy.take();
    assert_eq!(met(&commands), (1, 1), "{commands:?}");
    // Nothing of this one is kept.
    assert_eq!(foreign(&other).get("manifests/v2").status, 404);
    let commands = proxy.take();
    assert!(commands.iter().any(|it| it == "block/get"), "{commands:?}");
    assert_eq!(met(&commands), (0, 0), "{commands:?}");
    other.stop();
    proxy.take();

    let keep = [("ROADSTEAD_FEDERATION__KUBO__KEEP_PEERS", "1s")];
    let other = nodes.embedded(&proxy.url(), &keep);
    assert_pulled(&other, &pushed);
    let commands = proxy.take();
    assert!(met(&commands).0 > 0, "{commands:?}");
    wait(|| !is_peer(&nodes.ours, &id), "it is still a peer");
}

#[test]
fn a_registry_that_stops_leaves_the_peers_that_it_has_made() {
    let Some(nodes) = Nodes::start() else { return };
    let pushed = nodes.push("v1", b"layer");
    let (address, id) = listens(&nodes.theirs);
    nodes.publish(&[&address]);
    let mut other = nodes.embedded(&nodes.ours.api(), &[]);
    assert_pulled(&other, &pushed);
    assert!(is_peer(&nodes.ours, &id));
    other.stop();
    wait(|| !is_peer(&nodes.ours, &id), "it is still a peer");
}

#[test]
fn a_registry_that_was_killed_leaves_its_peers_when_it_has_started_again() {
    let Some(nodes) = Nodes::start() else { return };
    let pushed = nodes.push("v1", b"layer");
    let (address, id) = listens(&nodes.theirs);
    nodes.publish(&[&address]);
    // Whoever did not start again would not leave them.
    let keep = [("ROADSTEAD_FEDERATION__KUBO__KEEP_PEERS", "10s")];
    let mut other = nodes.embedded(&nodes.ours.api(), &keep);
    assert_pulled(&other, &pushed);
    other.kill();
    assert!(is_peer(&nodes.ours, &id));
    other.start_again();
    wait(|| !is_peer(&nodes.ours, &id), "it is still a peer");
}

#[test]
fn a_peer_that_the_operator_has_given_to_the_node_stays() {
    let Some(nodes) = Nodes::start() else { return };
    let pushed = nodes.push("v1", b"layer");
    let (address, id) = listens(&nodes.theirs);
    nodes.publish(&[&address]);
    nodes.ours.ipfs(["swarm", "peering", "add", &address]);
    let proxy = Proxy::before(&nodes.ours.api());
    let keep = [("ROADSTEAD_FEDERATION__KUBO__KEEP_PEERS", "1s")];
    let other = nodes.embedded(&proxy.url(), &keep);
    assert_pulled(&other, &pushed);
    std::thread::sleep(Duration::from_millis(1500));
    let commands = proxy.take();
    assert!(!commands.iter().any(|it| it.starts_with("swarm/peering/rm")), "{commands:?}");
    assert!(is_peer(&nodes.ours, &id));
}

#[test]
fn a_node_on_a_private_address_is_not_dialled_unless_it_is_allowed() {
    let Some(nodes) = Nodes::start() else { return };
    nodes.push("v1", b"layer");
    let (address, id) = listens(&nodes.theirs);
    let rebound = address.replace("/ip4/127.0.0.1/", &format!("/dns4/rebound.{DOMAIN}/"));
    assert_ne!(rebound, address);
    nodes.dns.update(DOMAIN, &format!("update add rebound.{DOMAIN} 1 A 127.0.0.1"));
    let addressed = format!("update add _dnsaddr.{DOMAIN} 1 TXT \"dnsaddr={address}\"");
    nodes.dns.update(DOMAIN, &addressed);
    nodes.publish(&[&address, &rebound, &format!("/dnsaddr/{DOMAIN}/p2p/{id}")]);
    let proxy = Proxy::before(&nodes.ours.api());
    let strict = [("ROADSTEAD_DNSLINK__ALLOW_PRIVATE_ADDRESSES", "false")];
    let other = nodes.embedded(&proxy.url(), &strict);
    // Nobody else has it, so the node searches for it until that takes too long.
    let refused = foreign(&other).get("manifests/v1");
    assert!(matches!(refused.status, 502 | 504), "{}", refused.text());
    let commands = proxy.take();
    assert!(commands.iter().any(|it| it == "block/get"), "{commands:?}");
    assert!(!commands.iter().any(|it| it.starts_with("swarm/")), "{commands:?}");
    assert!(!is_peer(&nodes.ours, &id) && !is_connected(&nodes.ours, &id));
}

#[test]
fn a_node_that_is_gone_or_stands_still_only_slows() {
    let Some(nodes) = Nodes::start() else { return };
    let pushed = nodes.push("v1", &noise(2_000_000, 2));
    let port = nodes.publisher.address().rsplit_once(':').unwrap().1;
    let (address, _) = listens(&nodes.theirs);
    nodes.publish(&[
        "/ip4/127.0.0.1/tcp/1/http",
        &address,
        &format!("/ip4/127.0.0.1/tcp/{port}/http"),
    ]);
    let gone = format!("http://{}", free_address());
    assert_pulled(&nodes.embedded(&gone, &[]), &pushed);
    nodes.ours.pause();
    assert_pulled(&nodes.embedded(&nodes.ours.api(), &[]), &pushed);
    nodes.ours.resume();
}

#[test]
fn without_a_gateway_a_node_serves_on_where_the_other_one_has_died() {
    let Some(mut nodes) = Nodes::start() else { return };
    let pushed = nodes.push("v1", &noise(2_000_000, 3));
    let (address, _) = listens(&nodes.theirs);
    nodes.publish(&[&address]);
    assert_pulled(&nodes.embedded(&nodes.ours.api(), &[]), &pushed);
    nodes.theirs.kill();
    // Its cache is new: the node has kept what it fetched.
    assert_pulled(&nodes.embedded(&nodes.ours.api(), &[]), &pushed);
}

#[test]
fn resolve_shows_the_node_and_its_peers() {
    let Some(nodes) = Nodes::start() else { return };
    nodes.push("v1", b"layer");
    let (address, id) = listens(&nodes.theirs);
    // Nobody can be met at port 1, and nobody meets oneself.
    let dead = format!("/ip4/127.0.0.1/tcp/1/p2p/{}", listens(&nodes.ours).1);
    nodes.publish(&[&address, &dead]);
    let resolve = || {
        let mut command = roadstead(["resolve", DOMAIN]);
        nodes.lab()(&mut command);
        command.env("ROADSTEAD_FEDERATION__KUBO__API", nodes.ours.api());
        command
    };
    let text = succeed(&mut resolve());
    assert!(
        text.contains(&format!("hint        {address}: the node is connected to it\n")),
        "{text}"
    );
    assert!(text.contains("the node is not connected to it: "), "{text}");
    let node = format!("the node at {} (federation.kubo): has the root, ", nodes.ours.api());
    assert!(text.contains(&node), "{text}");
    assert!(text.contains("repository  team/app"), "{text}");
    let json: serde_json::Value = serde_json::from_str(&succeed(resolve().arg("--json"))).unwrap();
    let connected = |number: usize| json["hints"][number]["connected"].as_bool();
    assert_ne!(connected(0), connected(1), "{json}");
    assert_eq!(json["sources"][0]["origin"], "node");
    wait(|| !is_peer(&nodes.ours, &id), "it is over");
}

#[test]
fn without_a_node_a_node_in_the_hints_is_no_source() {
    let Some(nodes) = Nodes::start() else { return };
    nodes.push("v1", b"layer");
    nodes.publish(&[&listens(&nodes.theirs).0]);
    let other = nodes.embedded("none", &[]);
    assert_refused(&foreign(&other).get("manifests/v1"), 502, "UNAVAILABLE");
}
