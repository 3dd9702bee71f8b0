//! `roadstead resolve`: how a name leads to a root, with a real name server and a real gateway.

use std::process::Command;

use serde_json::{Value, json};

use crate::cli::push;
use crate::common::{Bind, Finished, Server, free_address, roadstead, run, succeed};

/// A root that nobody has.
const ROOT: &str = "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354";

/// `roadstead resolve` with that name server.
fn resolve(dns: &Bind, arguments: &[&str]) -> Command {
    let mut command = roadstead(["resolve"]);
    command.args(arguments).env("ROADSTEAD_DNSLINK__SERVERS", dns.address());
    command
}

/// The same where everything may be dialled.
fn resolve_in_lab(dns: &Bind, arguments: &[&str]) -> Command {
    let mut command = resolve(dns, arguments);
    command.env("ROADSTEAD_DNSLINK__ALLOW_PRIVATE_ADDRESSES", "true");
    command
}

fn json_of(command: &mut Command) -> Value {
    serde_json::from_str(&succeed(command)).unwrap()
}

/// What is printed of a root that no source has.
fn without_source(command: &mut Command) -> String {
    let finished = run(command);
    assert_eq!(finished.code, Some(1), "{finished}");
    assert!(finished.stderr.contains("no source has the root"), "{finished}");
    finished.stdout
}

/// The facts of that name among what was printed.
fn facts<'text>(text: &'text str, name: &str) -> Vec<&'text str> {
    let of_name = |line: &'text str| {
        let (what, fact) = line.split_at_checked(12)?;
        (what.trim() == name).then_some(fact)
    };
    text.lines().filter_map(of_name).collect()
}

/// A registry with two repositories, its root, and the hint that leads to its gateway.
fn publisher() -> (Server, String, String) {
    let server = Server::start();
    push::image(&server, "team/app", "v1", "layer");
    push::image(&server, "tool", "v1", "other");
    let root = succeed(&mut server.command(["root"]));
    let port = server.address().rsplit_once(':').unwrap().1;
    let hint = format!("/ip4/127.0.0.1/tcp/{port}/http");
    (server, root, hint)
}

fn records(root: &str, hint: &str) -> String {
    format!(
        "_dnslink 60 TXT \"dnslink=/ipfs/{root}\"\n\
         _dnslink 60 TXT \"ipfsnode={hint}\"\n\
         _dnslink 60 TXT \"dnslink=/ipfs/nonsense\"\n\
         _dnslink 60 TXT \"about something else\""
    )
}

fn assert_no_root(finished: &Finished, why: &str) {
    assert_eq!(finished.code, Some(1), "{finished}");
    assert!(finished.stderr.contains("cannot resolve `"), "{finished}");
    assert!(finished.stderr.contains(why), "{finished}");
}

#[test]
fn each_step_from_a_domain_to_its_repositories_is_shown() {
    let (server, root, hint) = publisher();
    let Some(dns) = Bind::start(&[("a.test", &records(&root, &hint))]) else { return };
    let folder = tempfile::TempDir::new().unwrap();
    let text = succeed(resolve_in_lab(&dns, &["a.test"]).current_dir(folder.path()));
    assert_eq!(facts(&text, "name"), ["a.test"], "{text}");
    assert_eq!(facts(&text, "queried"), ["_dnslink.a.test TXT, TTL 60 s"], "{text}");
    let mut read = facts(&text, "record");
    read.sort_unstable();
    assert_eq!(read, [format!("dnslink=/ipfs/{root}"), format!("ipfsnode={hint}")], "{text}");
    let passed_over = facts(&text, "ignored").join("\n");
    assert!(passed_over.contains("dnslink=/ipfs/nonsense: what follows /ipfs/ is not a CID"));
    assert!(passed_over.contains("about something else: "), "{text}");
    assert_eq!(facts(&text, "root"), [&root], "{text}");
    assert_eq!(facts(&text, "cached for"), ["60 s"], "{text}");
    let url = server.url("");
    assert_eq!(facts(&text, "hint"), [format!("{url}: may be dialled at 127.0.0.1")], "{text}");
    let source = facts(&text, "source").join("\n");
    assert!(source.starts_with(&format!("{url} (hint): has the root, ")), "{text}");
    assert_eq!(facts(&text, "repository"), ["team/app", "tool"], "{text}");
    assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none(), "something was made");
}

#[test]
fn json_shows_the_same() {
    let (server, root, hint) = publisher();
    let Some(dns) = Bind::start(&[("a.test", &records(&root, &hint))]) else { return };
    let gateway = format!("http://{}", free_address());
    let report = json_of(
        resolve_in_lab(&dns, &["a.test", "--json"]).env("ROADSTEAD_FEDERATION__GATEWAYS", &gateway),
    );
    let step = &report["steps"][0];
    assert_eq!((&step["step"], &step["name"]), (&json!("query"), &json!("_dnslink.a.test")));
    assert_eq!((&step["ttl"], step["records"].as_array().unwrap().len()), (&json!(60), 4));
    assert_eq!((&report["name"], &report["root"]), (&json!("a.test"), &json!(root)));
    assert_eq!((&report["path"], &report["ttl"]), (&json!(""), &json!(60)));
    let url = server.url("");
    assert_eq!(report["hints"], json!([{ "gateway": url, "addresses": ["127.0.0.1"] }]));
    let [hinted, configured] = &report["sources"].as_array().unwrap()[..] else {
        panic!("{report}")
    };
    assert_eq!((&hinted["source"], &hinted["origin"]), (&json!(url), &json!("hint")));
    assert_eq!(hinted.get("failure"), None, "{report}");
    assert_eq!(
        (&configured["source"], &configured["origin"]),
        (&json!(gateway), &json!("settings"))
    );
    assert!(configured["failure"].as_str().unwrap().contains("cannot read"), "{report}");
    let names = json!([
        { "name": "team/app", "repeats_domain": false },
        { "name": "tool", "repeats_domain": false },
    ]);
    assert_eq!(report["repositories"], json!({ "names": names, "is_whole": true }));
}

#[test]
fn a_domain_without_records_leads_nowhere() {
    let Some(dns) = Bind::start(&[("a.test", "")]) else { return };
    let failed = run(&mut resolve(&dns, &["a.test"]));
    assert_no_root(&failed, "publishes nothing");
    let queried = facts(&failed.stdout, "queried");
    for name in ["_dnslink.a.test", "a.test", "_dnsaddr.a.test"] {
        let expected = format!("{name} TXT: no TXT record");
        assert!(queried.contains(&expected.as_str()), "{failed}");
    }
    let failed = run(&mut resolve(&dns, &["a.test", "--json"]));
    assert_no_root(&failed, "publishes nothing");
    let report: Value = serde_json::from_str(&failed.stdout).unwrap();
    assert_eq!(report.get("root"), None, "{report}");
    assert!(report["failure"].as_str().unwrap().contains("publishes nothing"), "{report}");
    assert_eq!(report["steps"].as_array().unwrap().len(), 3, "{report}");
}

#[test]
fn a_private_hint_is_shown_and_not_dialled() {
    let (server, root, hint) = publisher();
    let port = server.address().rsplit_once(':').unwrap().1;
    let named = format!("/dns4/inside.a.test/tcp/{port}/http");
    let peer = "12D3KooWEqnTdgqHnkkwarSrJjeMP2ZJiADWLYADaNvUb6SQNyPF";
    let node = format!("/ip4/10.0.0.1/tcp/4001/p2p/{peer}");
    let zone = format!(
        "{}\n_dnslink TXT \"ipfsnode={named}\"\n_dnslink TXT \"ipfsnode={node}\"\ninside A 127.0.0.1",
        records(&root, &hint)
    );
    let Some(dns) = Bind::start(&[("a.test", &zone)]) else { return };
    let text = without_source(&mut resolve(&dns, &["a.test", "--json"]));
    let report: Value = serde_json::from_str(&text).unwrap();
    assert!(report["failure"].as_str().unwrap().contains("no source has the root"), "{report}");
    let hints = report["hints"].as_array().unwrap();
    assert_eq!(hints.len(), 3, "{report}");
    for hint in hints {
        let why = hint["refused"].as_str().unwrap();
        assert!(why.contains("resolves to an address that may not be dialled"), "{report}");
        assert_eq!(hint["addresses"], json!([]));
    }
    assert_eq!((&report["sources"], report.get("repositories")), (&json!([]), None), "{report}");
    let text = without_source(&mut resolve(&dns, &["a.test"]));
    assert_eq!(text.matches(": skipped: ").count(), 3, "{text}");
    assert_eq!(facts(&text, "repository"), ["not known: no source has the root"], "{text}");
    assert!(!server.log().contains("/ipfs/"), "{}", server.log());
}

#[test]
fn a_cid_needs_no_records() {
    let (server, root, _) = publisher();
    let mut command = roadstead(["resolve", &root]);
    let text = succeed(command.env("ROADSTEAD_FEDERATION__GATEWAYS", server.url("")));
    assert!(facts(&text, "queried").is_empty() && facts(&text, "hint").is_empty(), "{text}");
    assert_eq!(facts(&text, "root"), [&root], "{text}");
    assert!(facts(&text, "cached for").is_empty(), "{text}");
    let source = facts(&text, "source").join("\n");
    assert!(source.starts_with(&format!("{} (federation.gateways): has", server.url(""))));
    assert_eq!(facts(&text, "repository"), ["team/app", "tool"], "{text}");

    let mut command = roadstead(["resolve", ROOT]);
    let text = without_source(command.env("ROADSTEAD_FEDERATION__GATEWAYS", server.url("")));
    assert!(facts(&text, "source").join("\n").contains("does not have it (404)"), "{text}");
    let text = without_source(&mut roadstead(["resolve", ROOT]));
    assert!(facts(&text, "source").join("\n").starts_with("none: "), "{text}");
}

#[test]
fn a_root_whose_only_source_cannot_be_reached_is_an_error() {
    // No server has this address.
    let hint = format!("/ip4/127.0.0.1/tcp/{}/http", free_address().rsplit_once(':').unwrap().1);
    let peer = "/ip4/127.0.0.1/tcp/1/p2p/12D3KooWEqnTdgqHnkkwarSrJjeMP2ZJiADWLYADaNvUb6SQNyPF";
    let zones = [("a.test", &*records(ROOT, &hint)), ("b.test", &*records(ROOT, peer))];
    let Some(dns) = Bind::start(&zones) else { return };
    for domain in ["a.test", "b.test"] {
        let text = without_source(&mut resolve_in_lab(&dns, &[domain]));
        assert_eq!(facts(&text, "root"), [ROOT], "{text}");
        assert_eq!(facts(&text, "repository"), ["not known: no source has the root"], "{text}");
    }
}

#[test]
fn what_names_no_root_is_wrong_usage() {
    for name in
        ["nonsense", "team/app", "a.test/team/app", "127.0.0.1", "https://a.test", "k51", "11"]
    {
        let refused = run(&mut roadstead(["resolve", name]));
        assert_eq!(refused.code, Some(2), "{name}: {refused}");
        assert!(refused.stderr.contains(name) && refused.stdout.is_empty(), "{refused}");
    }
    let refused = run(&mut roadstead(["resolve", "nonsense"]));
    assert!(refused.stderr.contains("a domain such as example.com"), "{refused}");
}

#[test]
fn names_that_repeat_the_domain_and_deeper_ones_are_shown() {
    // As trees of the earlier driver have them; to the publisher they are names like any other.
    let server = Server::start_with(|command| {
        command.env("ROADSTEAD_SERVER__LOCAL_NAMESPACES", "a.test");
    });
    push::image(&server, "a.test/team/old", "v1", "layer");
    push::image(&server, "a.test/single", "v1", "layer");
    push::image(&server, "new", "v1", "layer");
    let root = succeed(&mut server.command(["root"]));
    let port = server.address().rsplit_once(':').unwrap().1;
    let zone = records(&root, &format!("/ip4/127.0.0.1/tcp/{port}/http"));
    let Some(dns) = Bind::start(&[("a.test", &zone)]) else { return };
    let text = succeed(&mut resolve_in_lab(&dns, &["a.test"]));
    let note = "(the tree repeats the domain)";
    let expected = ["new".to_owned(), format!("single {note}"), format!("team/old {note}")];
    assert_eq!(facts(&text, "repository"), expected, "{text}");

    push::image(&server, "one/two/three", "v1", "layer");
    let root = succeed(&mut server.command(["root"]));
    let mut command = roadstead(["resolve", &root]);
    let text = succeed(command.env("ROADSTEAD_FEDERATION__GATEWAYS", server.url("")));
    assert!(!text.contains("one/two/three"), "{text}");
    assert_eq!(facts(&text, "repository").last(), Some(&"there may be more"), "{text}");
}

#[test]
fn a_chain_with_a_path_and_what_is_not_served_here_are_shown() {
    let zone = format!(
        "_dnslink TXT \"dnslink=/ipns/b.a.test/below\"\n\
         _dnslink.b TXT \"dnslink=/ipfs/{ROOT}/some\""
    );
    let Some(dns) = Bind::start(&[("a.test", &zone)]) else { return };
    let mut command = resolve(&dns, &["a.test"]);
    let text = without_source(command.env("ROADSTEAD_FEDERATION__DOMAINS", "other.test"));
    let queried = facts(&text, "queried").join("\n");
    let position = |name: &str| queried.find(name).unwrap();
    assert!(position("_dnslink.a.test") < position("_dnslink.b.a.test"), "{text}");
    assert_eq!((facts(&text, "root"), facts(&text, "path")), (vec![ROOT], vec!["some/below"]));
    assert_eq!(facts(&text, "not served").len(), 1, "{text}");
}

#[test]
fn what_a_publisher_writes_cannot_forge_a_line() {
    let zone = format!(
        "_dnslink TXT \"dnslink=/ipfs/{ROOT}\"\n_dnslink TXT \"x\\010root        forged\\027[2J\""
    );
    let Some(dns) = Bind::start(&[("a.test", &zone)]) else { return };
    let text = without_source(&mut resolve(&dns, &["a.test"]));
    assert_eq!(facts(&text, "root"), [ROOT], "{text}");
    assert!(text.contains(r"x\nroot        forged\u{1b}[2J"), "{text}");
}

#[test]
fn hints_that_pulls_do_not_reach_are_shown() {
    let peer = "12D3KooWEqnTdgqHnkkwarSrJjeMP2ZJiADWLYADaNvUb6SQNyPF";
    let node = format!("/dns4/node.a.test/tcp/4001/p2p/{peer}");
    let gateways: Vec<String> =
        (1..=5).map(|port| format!("\\\"/ip4/127.0.0.1/tcp/{port}/http\\\"")).collect();
    let zone = format!(
        "_dnslink TXT \"dnslink=/ipfs/{ROOT}\"\n_dnslink TXT \"ipfsnode=[{}]\"\n\
         _dnslink TXT \"ipfsnode={node}\"\nnode A 127.0.0.1",
        gateways.join(",")
    );
    let Some(dns) = Bind::start(&[("a.test", &zone)]) else { return };
    let text = without_source(&mut resolve_in_lab(&dns, &["a.test", "--json"]));
    let report: Value = serde_json::from_str(&text).unwrap();
    let hints = report["hints"].as_array().unwrap();
    assert_eq!(hints.len(), 6, "{report}");
    let late: Vec<&Value> = hints.iter().filter_map(|hint| hint.get("refused")).collect();
    assert_eq!(late, ["only the first 4 addresses are tried"], "{report}");
    let is_node = |hint: &&Value| hint["node"] == json!(node);
    let addresses = json!([format!("/ip4/127.0.0.1/tcp/4001/p2p/{peer}")]);
    assert_eq!(hints.iter().find(is_node).unwrap()["addresses"], addresses, "{report}");
    assert_eq!(report["sources"].as_array().unwrap().len(), 4, "{report}");
}

#[test]
fn the_result_of_dnssec_is_shown() {
    let zone = format!("_dnslink TXT \"dnslink=/ipfs/{ROOT}\"");
    let Some(dns) = Bind::start_signed(&[("a.test", &zone)], &["a.test"]) else { return };
    dns.wait_until_signed("_dnslink.a.test");
    let folder = tempfile::TempDir::new().unwrap();
    let keys = folder.path().join("trusted.key");
    std::fs::write(&keys, dns.dig(["+noall", "+answer", "DNSKEY", "a.test"])).unwrap();
    let mut command = resolve(&dns, &["a.test"]);
    command.env("ROADSTEAD_DNSLINK__DNSSEC", "true");
    let text = without_source(command.env("ROADSTEAD_DNSLINK__TRUST_ANCHORS", &keys));
    assert_eq!(
        facts(&text, "queried")[0],
        "_dnslink.a.test TXT, TTL 1 s, DNSSEC: secure",
        "{text}"
    );
    // Without the zone's key nothing of it is believed.
    let failed = run(resolve(&dns, &["a.test"]).env("ROADSTEAD_DNSLINK__DNSSEC", "true"));
    assert_no_root(&failed, "cannot resolve the name");
}
