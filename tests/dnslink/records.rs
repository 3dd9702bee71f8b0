//! Records of a real name server.

use roadstead::dnslink::{DnslinkErrorKind, Step};

use super::{A, B, domain, kind, resolve, resolver, root, wait};
use crate::common::Bind;

const ID: &str = "12D3KooWEqnTdgqHnkkwarSrJjeMP2ZJiADWLYADaNvUb6SQNyPF";

#[tokio::test]
async fn the_record_stands_at_dnslink_and_only_without_one_there_at_the_domain_itself() {
    let records = format!(
        "_dnslink.new TXT \"dnslink=/ipfs/{A}\"\n\
         old TXT \"dnslink=/ipfs/{B}\"\n\
         _dnslink.both TXT \"dnslink=/ipfs/{A}/sub\"\nboth TXT \"dnslink=/ipfs/{B}\"\n\
         _dnslink.other TXT \"v=spf1 -all\"\n_dnslink.other TXT \"dnslink=/hyper/x\"\n\
         other TXT \"dnslink=/ipfs/{B}\"\n\
         _dnslink.broken TXT \"dnslink=/ipfs/nonsense\"\nbroken TXT \"dnslink=/ipfs/{B}\"\n\
         text TXT \"only words\"\n"
    );
    let Some(bind) = Bind::start(&[("names.test", &records)]) else { return };
    let resolver = resolver(&bind.address());
    assert_eq!(root(&resolver, "new.names.test").await, A);
    assert_eq!(root(&resolver, "NEW.names.test.").await, A, "names have no case");
    assert_eq!(root(&resolver, "old.names.test").await, B);
    assert_eq!(root(&resolver, "both.names.test").await, format!("{A}/sub"));
    assert_eq!(root(&resolver, "other.names.test").await, B);
    assert_eq!(kind(&resolver, "broken.names.test").await, DnslinkErrorKind::Invalid);
    assert_eq!(kind(&resolver, "text.names.test").await, DnslinkErrorKind::NotFound);
    assert_eq!(kind(&resolver, "absent.names.test").await, DnslinkErrorKind::NotFound);
    assert_eq!(kind(&resolver, "names.test/x").await, DnslinkErrorKind::Invalid);
    // Not of this server.
    assert_eq!(kind(&resolver, "elsewhere.example").await, DnslinkErrorKind::Unavailable);
}

#[tokio::test]
async fn segments_are_joined_and_invalid_records_passed_over() {
    let (one, two) = A.split_at(20);
    let records = format!(
        "_dnslink.joined TXT \"dnsl\" \"ink=/ipfs/{one}\" \"{two}\"\n\
         _dnslink.mixed TXT \"dnslink=/ipfs/\"\n_dnslink.mixed TXT \"dnslink=\"\n\
         _dnslink.mixed TXT \"dnslink=/ipfs/{A}/../x\"\n_dnslink.mixed TXT \"dnslink=/ipfs/{A}/\\255\"\n\
         _dnslink.mixed TXT \"dnslink=/ipfs/{B}\"\n_dnslink.mixed TXT \"\\000\\001\"\n\
         _dnslink.several TXT \"dnslink=/ipfs/{B}\"\n_dnslink.several TXT \"dnslink=/ipfs/{A}\"\n"
    );
    let Some(bind) = Bind::start(&[("names.test", &records)]) else { return };
    let resolver = resolver(&bind.address());
    assert_eq!(root(&resolver, "joined.names.test").await, A);
    assert_eq!(root(&resolver, "mixed.names.test").await, B);
    let first = A.min(B);
    assert_eq!(root(&resolver, "several.names.test").await, first, "the first in order");

    let trace = resolver.trace(&domain("mixed.names.test")).await;
    assert_eq!(trace.outcome.unwrap().root.to_string(), B);
    let Step::Query { name, records, ttl, .. } = &trace.steps[0] else {
        panic!("{:?}", trace.steps)
    };
    assert_eq!((name.as_str(), *ttl), ("_dnslink.mixed.names.test", Some(1)));
    let reason = |text: &str| {
        let seen = records.iter().find(|seen| seen.text.starts_with(text)).unwrap();
        seen.ignored.clone().unwrap_or_default()
    };
    assert_eq!(records.len(), 6);
    assert_eq!(reason(&format!("dnslink=/ipfs/{B}")), "");
    assert!(reason(&format!("dnslink=/ipfs/{A}/..")).contains("`..`"), "{records:?}");
    assert_eq!(reason("\0"), "not about IPFS");
}

#[tokio::test]
async fn a_cname_delegates_the_record_to_another_zone() {
    let records = "_dnslink.shop CNAME _dnslink.shop.host.test.\n_dnslink.ring CNAME _dnslink.ring2\n\
                   _dnslink.ring2 CNAME _dnslink.ring\n";
    let theirs = format!("_dnslink.shop 1 TXT \"dnslink=/ipfs/{A}\"\n");
    let Some(bind) = Bind::start(&[("names.test", records), ("host.test", &theirs)]) else {
        return;
    };
    let resolver = resolver(&bind.address());
    assert_eq!(root(&resolver, "shop.names.test").await, A);
    let trace = resolver.trace(&domain("shop.names.test")).await;
    let Step::Query { through, .. } = &trace.steps[0] else { panic!("{:?}", trace.steps) };
    assert_eq!(through[..], ["_dnslink.shop.host.test."]);
    assert!(resolve(&resolver, "ring.names.test").await.is_err(), "it leads in a circle");
}

#[tokio::test]
async fn hints_come_one_by_one_as_a_list_and_from_each_name() {
    let gateway = "/dns4/gateway.example/tcp/443/tls/http";
    let list =
        format!("[\\\"/ip4/192.0.2.1/tcp/4001/p2p/{ID}\\\",\\\"{gateway}\\\",\\\"/nonsense\\\"]");
    let records = format!(
        "_dnslink.a TXT \"dnslink=/ipfs/{A}\"\n_dnslink.a TXT \"ipfsnode={gateway}\"\n\
         _dnslink.b TXT \"dnslink=/ipfs/{A}\"\n_dnslink.b TXT \"ipfsnode={list}\"\n\
         _dnslink.b TXT \"ipfsnode=/ip4/192.0.2.2/tcp/80/http\"\n_dnslink.b TXT \"ipfsnode=/nonsense\"\n\
         _dnslink.c TXT \"dnslink=/ipfs/{A}\"\nc TXT \"ipfsnode={gateway}\"\n\
         _dnsaddr.c TXT \"dnsaddr=/dns4/node.example/udp/4001/quic-v1/p2p/{ID}\"\n\
         d TXT \"dnslink=/ipfs/{A}\"\nd TXT \"ipfsnode={gateway}\"\n\
         _dnslink.e TXT \"dnslink=/ipfs/{A}\"\n"
    );
    let Some(bind) = Bind::start(&[("names.test", &records)]) else { return };
    let resolver = resolver(&bind.address());
    let hints = async |name: &str| -> Vec<String> {
        let answer = resolve(&resolver, name).await.unwrap();
        answer.resolved.hints.iter().map(ToString::to_string).collect()
    };
    let url = "https://gateway.example:443";
    let peer = format!("/ip4/192.0.2.1/tcp/4001/p2p/{ID}");
    assert_eq!(hints("a.names.test").await, [url]);
    let mut of_b = hints("b.names.test").await;
    of_b.sort();
    assert_eq!(of_b, [&peer, "http://192.0.2.2:80", url]);
    let quic = format!("/dns4/node.example/udp/4001/quic-v1/p2p/{ID}");
    // Those of another place may take only so long.
    wait(async || hints("c.names.test").await == [url, &quic]).await;
    assert_eq!(hints("d.names.test").await, [url]);
    assert!(hints("e.names.test").await.is_empty());
}

#[tokio::test]
async fn an_answer_that_is_too_long_for_udp_comes_by_tcp() {
    let words = format!("\"{}\" ", "x".repeat(250)).repeat(3);
    let longer = (0..75).map(|number| format!("_dnslink.long TXT {number} {words}\n"));
    let records =
        format!("_dnslink.long TXT \"dnslink=/ipfs/{A}\"\n") + &longer.collect::<String>();
    let Some(bind) = Bind::start(&[("names.test", &records)]) else { return };
    assert_eq!(root(&resolver(&bind.address()), "long.names.test").await, A);
    let answer = bind.dig(["+short", "+tcp", "TXT", "_dnslink.long.names.test"]);
    assert!(answer.len() > 50_000, "the server has all of it: {}", answer.len());
}

#[tokio::test]
async fn domains_lead_to_each_other_and_their_paths_are_joined() {
    let records = "_dnslink.a TXT \"dnslink=/ipns/b.names.test/one\"\n\
         _dnslink.b TXT \"dnslink=/ipns/c.other.test/two/three\"\n_dnslink.b TXT \"ipfsnode=/ip4/192.0.2.1/tcp/80/http\"\n\
         _dnslink.one TXT \"dnslink=/ipns/two.names.test\"\n_dnslink.two TXT \"dnslink=/ipns/three.names.test/x\"\n\
         _dnslink.three TXT \"dnslink=/ipns/one.names.test\"\n\
         _dnslink.self TXT \"dnslink=/ipns/SELF.names.test\"\n\
         _dnslink.nowhere TXT \"dnslink=/ipns/absent.names.test\"\n";
    let others = format!(
        "_dnslink.c 7 TXT \"dnslink=/ipfs/{A}/four\"\n_dnslink.c 7 TXT \"ipfsnode=/ip4/192.0.2.2/tcp/80/http\"\n"
    );
    let Some(bind) = Bind::start(&[("names.test", records), ("other.test", &others)]) else {
        return;
    };
    let resolver = resolver(&bind.address());
    assert_eq!(root(&resolver, "a.names.test").await, format!("{A}/four/two/three/one"));
    let answer = resolve(&resolver, "a.names.test").await.unwrap();
    let hints: Vec<String> = answer.resolved.hints.iter().map(ToString::to_string).collect();
    assert_eq!(hints, ["http://192.0.2.1:80", "http://192.0.2.2:80"]);
    assert_eq!(answer.resolved.ttl.as_secs(), 1, "the least on the way");
    for name in ["one", "two", "three", "self"] {
        let name = format!("{name}.names.test");
        assert_eq!(kind(&resolver, &name).await, DnslinkErrorKind::Loop, "{name}");
    }
    assert_eq!(kind(&resolver, "nowhere.names.test").await, DnslinkErrorKind::NotFound);
}

#[tokio::test]
async fn a_chain_has_thirty_two_links_and_no_more() {
    let link = |number: u32| {
        format!("_dnslink.n{number} TXT \"dnslink=/ipns/n{}.names.test\"\n", number - 1)
    };
    let links: String = (2..=33).map(link).collect();
    let records = format!("_dnslink.n1 TXT \"dnslink=/ipfs/{A}\"\n{links}");
    let Some(bind) = Bind::start(&[("names.test", &records)]) else { return };
    let resolver = resolver(&bind.address());
    assert_eq!(root(&resolver, "n32.names.test").await, A);
    assert_eq!(kind(&resolver, "n33.names.test").await, DnslinkErrorKind::TooLong);
}
